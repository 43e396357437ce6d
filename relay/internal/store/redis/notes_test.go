package redis_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/anyframe-relay/relay/relay/internal/store"
	"github.com/anyframe-relay/relay/relay/internal/store/redis"
	"github.com/anyframe-relay/relay/relay/internal/store/redistest"
)

// earlier stores notes of the visitor v1 as an earlier build did: three turns
// and a prompt of epoch 3, a turn of epoch 2, and an index that still has an
// expired note.
func earlier(t *testing.T, client *goredis.Client) {
	t.Helper()
	expiry := time.Now().Add(time.Hour).UnixMilli()
	for order, n := range []store.Note{
		{Kind: "turn", Key: "old", Epoch: 2},
		{Kind: "turn", Key: "z:1", Epoch: 3},
		{Kind: "turn", Key: "a", Epoch: 3},
		{Kind: "turn", Key: "m", Epoch: 3},
		{Kind: "prompt", Key: "p", Epoch: 3},
		{Kind: "turn", Key: "expired", Epoch: 3},
	} {
		if n.Key != "expired" {
			must(t, client.Set(t.Context(), "p:{v1}n:"+n.Kind+":"+n.Key,
				fmt.Sprintf(`%d %020d %020d 1790000000000 %d {"q":%d,"s":"sent","b":"text"}`, 100+order, order+1, n.Epoch, expiry, order), time.Hour).Err())
		}
		must(t, client.ZAdd(t.Context(), "p:{v1}i", goredis.Z{Member: fmt.Sprintf("%s:%020d:%020d:%s", n.Kind, n.Epoch, order+1, n.Key)}).Err())
	}
	must(t, client.PExpireAt(t.Context(), "p:{v1}i", time.UnixMilli(expiry)).Err())
	must(t, client.Set(t.Context(), "p:{v1}o", 6, time.Hour).Err())
}

func keysOf(t *testing.T, s *redis.Store, kind string, epoch, since int64) (keys string, cursor int64) {
	t.Helper()
	notes, cursor, err := s.NotesSince(t.Context(), "v1", kind, epoch, since)
	must(t, err)
	var all []string
	for _, n := range notes {
		all = append(all, n.Key)
	}
	return strings.Join(all, " "), cursor
}

// placesOf returns the turns of epoch 3 by place.
func placesOf(t *testing.T, s *redis.Store) string {
	t.Helper()
	notes, _, err := s.NotesAt(t.Context(), "v1", "turn", 3, 0, store.Unplaced+1, 9)
	must(t, err)
	var all []string
	for _, n := range notes {
		all = append(all, n.Key)
	}
	return strings.Join(all, " ")
}

func TestNotes_EarlierBuild_Adopted(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	client := server.Client()
	for name, first := range map[string]func(t *testing.T, s *redis.Store){
		"read first":  func(*testing.T, *redis.Store) {},
		"begun first": beginElsewhere,
		"saved first": func(t *testing.T, s *redis.Store) {
			n, err := s.Note(t.Context(), "v1", "turn", "m")
			must(t, err)
			_, err = s.SaveNote(t.Context(), n)
			must(t, err)
		},
	} {
		t.Run(name, func(t *testing.T) {
			must(t, client.FlushAll(t.Context()).Err())
			earlier(t, client)
			s := open(t, server.URL(), "p:")
			first(t, s)
			turns, cursor := keysOf(t, s, "turn", 3, 0)
			if turns != "z:1 a m" {
				t.Errorf("got turns %q, want those of epoch 3 in order", turns)
			}
			if prompts, _ := keysOf(t, s, "prompt", 3, 0); prompts != "p" {
				t.Errorf("got prompts %q, want p", prompts)
			}
			if old, _ := keysOf(t, s, "turn", 2, 0); old != "old" {
				t.Errorf("got turns %q of epoch 2, want old", old)
			}
			if n := client.Exists(t.Context(), "p:{v1}i", "p:{v1}o").Val(); n != 0 {
				t.Errorf("got %d keys of the earlier build left, want none", n)
			}
			if at := placesOf(t, s); at != "z:1 a m" && name != "saved first" {
				t.Errorf("got turns %q by place, want them by their seqs", at)
			}
			n, err := s.Note(t.Context(), "v1", "turn", "a")
			must(t, err)
			if n.Version != 102 || n.Epoch != 3 || n.Seq != 2 || n.State != "sent" || n.Body != "text" {
				t.Errorf("got %+v, want it as it was stored", n)
			}
			if _, err = s.SaveNote(t.Context(), store.Note{Visitor: "v1", Kind: "turn", Key: "m", Version: 9, ExpiresAt: soon()}); !errors.Is(err, store.ErrConflict) {
				t.Errorf("got error %v, want %v", err, store.ErrConflict)
			}
			n.Epoch = 4
			_, err = s.SaveNote(t.Context(), n)
			must(t, err)
			if changed, _ := keysOf(t, s, "turn", 4, cursor); changed != "a" {
				t.Errorf("got changes %q, want a", changed)
			}
			if left, _ := keysOf(t, s, "turn", 3, 0); left != "z:1 m" {
				t.Errorf("got turns %q, want those left in epoch 3", left)
			}
			wantMortal(t, "p:", []*redistest.Server{server})
		})
	}
}

// A note of an earlier build has no place: it is derived from its seq and its body.
func TestNotesAt_EarlierBuild_PlacedByBody(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	client := server.Client()
	s := open(t, server.URL(), "p:")
	expiry := time.Now().Add(time.Hour).UnixMilli()
	for i, row := range []string{
		`{"q":9,"s":"sent","b":"{\"after\":3}"}`, `{"s":"sending"}`, `{"s":"held"}`, `{"q":2,"s":"settled","b":"{\"after\":6}"}`, `{"q":3,"s":"sent","b":"{"}`,
	} {
		key := fmt.Sprint(i)
		must(t, client.Set(t.Context(), "p:{v1}n:turn:"+key, fmt.Sprintf("%d %d 3 1790000000000 %d %s", 100+i, i+1, expiry, row), time.Hour).Err())
		must(t, client.ZAdd(t.Context(), "p:{v1}c:turn:3", goredis.Z{Score: float64(i + 1), Member: key}).Err())
		must(t, client.ZAdd(t.Context(), "p:{v1}l", goredis.Z{Score: float64(i + 1), Member: "turn:3"}).Err())
	}
	for _, key := range []string{"p:{v1}c:turn:3", "p:{v1}l"} {
		must(t, client.Expire(t.Context(), key, time.Hour).Err())
	}
	_, _, err := s.BeginNote(t.Context(), store.Note{Visitor: "v1", Kind: "turn", Key: "new", Epoch: 3, Place: 7, ExpiresAt: soon()})
	must(t, err)
	if got := placesOf(t, s); got != "4 3 new 0 1" {
		t.Errorf("got notes %q, want 4 at 2, 3 at 6, new at 7, 0 at 8, 1 unplaced, and none that is held", got)
	}
	wantMortal(t, "p:", []*redistest.Server{server})
}

// beginElsewhere begins a note in an epoch of its own.
func beginElsewhere(t *testing.T, s *redis.Store) {
	t.Helper()
	_, _, err := s.BeginNote(t.Context(), store.Note{Visitor: "v1", Kind: "turn", Key: "new", Epoch: 9, ExpiresAt: soon()})
	must(t, err)
}

func TestForget_EveryNote_LeavesNoKey(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	client := server.Client()
	s := open(t, server.URL(), "p:")
	wantForgotten := func(what string) {
		t.Helper()
		must(t, s.Forget(t.Context(), "v1"))
		if keys := client.Keys(t.Context(), "p:{v1}*").Val(); len(keys) != 0 {
			t.Errorf("%s: got keys %q left, want none", what, keys)
		}
	}
	earlier(t, client)
	wantForgotten("of an earlier build")
	for epoch := range int64(3) {
		beginElsewhere(t, s)
		for _, kind := range []string{"turn", "a:b"} {
			_, _, err := s.BeginNote(t.Context(), store.Note{Visitor: "v1", Kind: kind, Key: fmt.Sprint(epoch), Epoch: epoch, ExpiresAt: soon()})
			must(t, err)
		}
	}
	wantForgotten("of this build")
}

// A visitor with many epochs must not keep a key for each expired one.
func TestNotes_ExpiredLists_Removed(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	client := server.Client()
	s := open(t, server.URL(), "p:")
	for epoch := range int64(5) {
		_, _, err := s.BeginNote(t.Context(), store.Note{Visitor: "v1", Kind: "turn", Key: fmt.Sprint(epoch), Epoch: epoch, ExpiresAt: soon()})
		must(t, err)
		must(t, client.Del(t.Context(), fmt.Sprint("p:{v1}c:turn:", epoch), fmt.Sprint("p:{v1}n:turn:", epoch)).Err()) // as on expiry
	}
	beginElsewhere(t, s)
	if lists := client.ZRange(t.Context(), "p:{v1}l", 0, -1).Val(); len(lists) != 1 || lists[0] != "turn:9" {
		t.Errorf("got lists %q, want turn:9 alone", lists)
	}
}

func TestFormat_Newer_Refused(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	client := server.Client()
	s := open(t, server.URL(), "p:")
	must(t, s.Ping(t.Context()))
	must(t, client.Set(t.Context(), "p:format", 99, time.Hour).Err())
	if err := s.Ping(t.Context()); err == nil || errors.Is(err, store.ErrUnavailable) || !strings.Contains(err.Error(), "format 99") {
		t.Errorf("got error %v, want one that names the format", err)
	}
	wantRefused(t, server.URL(), "use a newer relay")
	must(t, open(t, server.URL(), "q:").Ping(t.Context()))
	if got := client.Get(t.Context(), "p:format").Val(); got != "99" {
		t.Errorf("got format %q, want 99 kept", got)
	}
	must(t, client.Set(t.Context(), "p:format", 1, time.Hour).Err())
	must(t, s.Ping(t.Context()))
	if got := client.Get(t.Context(), "p:format").Val(); got != "3" {
		t.Errorf("got format %q, want 3", got)
	}
}

// The cost of reading changes must not depend on the number of notes.
func TestNotesSince_ManyNotes_ReadsOnlyChanges(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	client := server.Client()
	s := open(t, server.URL(), "p:")
	reads := func() (n int) {
		t.Helper()
		info, err := client.InfoMap(t.Context(), "commandstats").Result()
		must(t, err)
		_, err = fmt.Sscanf(info["Commandstats"]["cmdstat_get"], "calls=%d", &n)
		must(t, err)
		return n
	}
	var last store.Note
	for i := range 300 {
		var err error
		last, _, err = s.BeginNote(t.Context(), store.Note{Visitor: "v1", Kind: "turn", Key: fmt.Sprint(i), Epoch: 1, ExpiresAt: soon()})
		must(t, err)
	}
	_, cursor := keysOf(t, s, "turn", 1, 0)
	before := reads()
	for range 10 {
		if keys, _ := keysOf(t, s, "turn", 1, cursor); keys != "" {
			t.Errorf("got changes %q, want none", keys)
		}
	}
	if got := reads() - before; got != 0 {
		t.Errorf("got %d notes read without a change, want none", got)
	}
	_, err := s.SaveNote(t.Context(), last)
	must(t, err)
	before = reads()
	if keys, _ := keysOf(t, s, "turn", 1, cursor); keys != last.Key {
		t.Errorf("got changes %q, want %q", keys, last.Key)
	}
	if got := reads() - before; got != 1 {
		t.Errorf("got %d notes read for one change, want 1", got)
	}
}
