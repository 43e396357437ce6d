package storetest

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/anyframe-relay/relay/relay/internal/store"
)

func saveRecord(t *testing.T, s store.Store, r store.Record) store.Record {
	t.Helper()
	saved, err := s.SaveRecord(t.Context(), r)
	must(t, err)
	return saved
}

// dueAt returns the time n seconds after a time that all tests share.
func dueAt(n int64) time.Time { return time.Unix(1_800_000_000+n, 0).UTC() }

// wantRecords fails the test unless the records are those with these keys, as they
// are stored.
func wantRecords(t *testing.T, s store.Store, what string, got []store.Record, err error, want ...string) {
	t.Helper()
	must(t, err)
	var keys []string
	for _, r := range got {
		keys = append(keys, r.Key)
		if stored, err := s.Record(t.Context(), r.Kind, r.Key); err != nil || r != stored {
			t.Errorf("%s: got %+v, want it as stored, %+v, %v", what, r, stored, err)
		}
	}
	if !slices.Equal(keys, want) {
		t.Errorf("%s: got records %q, want %q", what, keys, want)
	}
}

func forgetEpochTakesItsNotes(t *testing.T, s store.Store) {
	for _, n := range []store.Note{
		{Visitor: "v1", Kind: "turn", Key: "a", Epoch: 1},
		{Visitor: "v1", Kind: "prompt", Key: "a", Epoch: 1},
		{Visitor: "v1", Kind: "turn", Key: "b", Epoch: 11},
		{Visitor: "v2", Kind: "turn", Key: "a", Epoch: 1},
	} {
		beginNote(t, s, n)
	}
	moved := beginNote(t, s, store.Note{Visitor: "v1", Kind: "turn", Key: "moved", Epoch: 1})
	moved.Epoch = 2
	saveNote(t, s, moved)
	_, cursor, err := s.NotesSince(t.Context(), "v1", "turn", 11, 0)
	must(t, err)
	for range 2 {
		must(t, s.ForgetEpoch(t.Context(), "v1", 1))
	}
	for _, test := range []struct {
		visitor, kind string
		epoch         int64
		want          int
	}{{"v1", "turn", 1, 0}, {"v1", "prompt", 1, 0}, {"v1", "turn", 11, 1}, {"v1", "turn", 2, 1}, {"v2", "turn", 1, 1}} {
		if got := noteKeys(t, s, test.visitor, test.kind, test.epoch); len(got) != test.want {
			t.Errorf("%s, %s, epoch %d: got notes %q, want %d", test.visitor, test.kind, test.epoch, got, test.want)
		}
	}
	if _, err := s.Note(t.Context(), "v1", "turn", "a"); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("got error %v, want %v", err, store.ErrNotFound)
	}
	beginNote(t, s, store.Note{Visitor: "v1", Kind: "turn", Key: "a", Epoch: 11})
	notes, _, err := s.NotesSince(t.Context(), "v1", "turn", 11, cursor)
	if must(t, err); len(notes) != 1 || notes[0].Key != "a" {
		t.Errorf("got notes %+v since the last cursor, want the new one", notes)
	}
}

func recordComesBackAsSaved(t *testing.T, s store.Store) {
	if _, err := s.Record(t.Context(), "k", "a"); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("got error %v, want %v", err, store.ErrNotFound)
	}
	for i, want := range []store.Record{
		{Kind: "k", Key: "a"},
		{Kind: "k", Key: "b", Owner: "o", Due: dueAt(1), ExpiresAt: soon(), Body: "{}"},
		{Kind: "k: {r}", Key: "'; \x00\n- -", Owner: "späße {1} - -", Due: time.UnixMilli(1), Body: "\x00 \n 7 - 🙂"},
		{Kind: "other", Key: "a", Owner: "12 x", Body: "12 x"},
		{Kind: "other", Key: "-", Due: dueAt(0).Add(time.Nanosecond).In(time.FixedZone("east", 7200))},
	} {
		before := time.Now().Truncate(time.Millisecond)
		saved := saveRecord(t, s, want)
		if saved.Version == 0 || saved.UpdatedAt.Before(before) || saved.UpdatedAt.After(time.Now()) {
			t.Errorf("record %d: got version %d updated at %v, want another, and now", i, saved.Version, saved.UpdatedAt)
		}
		want.Version, want.UpdatedAt = saved.Version, saved.UpdatedAt
		if !want.Due.IsZero() {
			want.Due = want.Due.Truncate(time.Millisecond).UTC()
		}
		if saved != want {
			t.Errorf("record %d: got %+v saved, want %+v", i, saved, want)
		}
		if got, err := s.Record(t.Context(), want.Kind, want.Key); err != nil || got != want {
			t.Errorf("record %d: got %+v, %v, want %+v", i, got, err, want)
		}
	}
}

func recordIsSavedOnlyOverItsVersion(t *testing.T, s store.Store) {
	_, err := s.SaveRecord(t.Context(), store.Record{Kind: "k", Key: "a", Version: 7})
	wantErr(t, "save over what is not there", err, store.ErrConflict)
	one := saveRecord(t, s, store.Record{Kind: "k", Key: "a"})
	_, err = s.SaveRecord(t.Context(), store.Record{Kind: "k", Key: "a"})
	wantErr(t, "save as new what is there", err, store.ErrConflict)
	two := saveRecord(t, s, one)
	_, err = s.SaveRecord(t.Context(), one)
	wantErr(t, "save over a newer one", err, store.ErrConflict)
	if got, err := s.Record(t.Context(), "k", "a"); err != nil || got != two || two.Version == one.Version {
		t.Errorf("got %+v, %v, want %+v", got, err, two)
	}
}

func recordIsDeletedAtItsVersion(t *testing.T, s store.Store) {
	must(t, s.DeleteRecord(t.Context(), "k", "a", 7))
	one := saveRecord(t, s, store.Record{Kind: "k", Key: "a", Owner: "o", Due: dueAt(1), ExpiresAt: soon()})
	saveRecord(t, s, store.Record{Kind: "k", Key: "b", Owner: "o", Due: dueAt(1)})
	two := saveRecord(t, s, one)
	wantErr(t, "delete an older version", s.DeleteRecord(t.Context(), "k", "a", one.Version), store.ErrConflict)
	wantErr(t, "delete without a version", s.DeleteRecord(t.Context(), "k", "a", 0), store.ErrConflict)
	for range 2 {
		must(t, s.DeleteRecord(t.Context(), "k", "a", two.Version))
	}
	_, err := s.Record(t.Context(), "k", "a")
	wantErr(t, "read what is deleted", err, store.ErrNotFound)
	all, err := s.Records(t.Context(), "k", "", 9)
	wantRecords(t, s, "by key", all, err, "b")
	all, err = s.RecordsOf(t.Context(), "k", "o", "", 9)
	wantRecords(t, s, "by owner", all, err, "b")
	all, err = s.RecordsDue(t.Context(), "k", dueAt(1), 9)
	wantRecords(t, s, "by due", all, err, "b")
	_, err = s.SaveRecord(t.Context(), two)
	wantErr(t, "save over what is deleted", err, store.ErrConflict)
}

func recordExpires(t *testing.T, s store.Store) {
	var old store.Record
	writeBrief(t, func(e time.Time) (err error) {
		old, err = s.SaveRecord(t.Context(), store.Record{Kind: "k", Key: "a", Owner: "o", Due: dueAt(1), ExpiresAt: e})
		return err
	})
	_, err := s.Record(t.Context(), "k", "a")
	wantErr(t, "read what has expired", err, store.ErrNotFound)
	old.ExpiresAt = soon()
	_, err = s.SaveRecord(t.Context(), old)
	wantErr(t, "save over the expired version", err, store.ErrConflict)
	must(t, s.DeleteRecord(t.Context(), "k", "a", 7))
	old.Version, old.Owner, old.Due = 0, "p", dueAt(2)
	saveRecord(t, s, old)
	all, err := s.RecordsOf(t.Context(), "k", "o", "", 9)
	wantRecords(t, s, "of the owner before", all, err)
	all, err = s.RecordsDue(t.Context(), "k", dueAt(1), 9)
	wantRecords(t, s, "at the due before", all, err)
}

func recordThatIsWrongIsRefused(t *testing.T, s store.Store) {
	for _, bad := range []store.Record{{Kind: "k"}, {Key: "k"}, {Kind: "k", Key: "a", Owner: "a\x00b"}} {
		_, err := s.SaveRecord(t.Context(), bad)
		wantErr(t, fmt.Sprintf("save %+v", bad), err, store.ErrRecord)
	}
	_, err := s.SaveRecord(t.Context(), store.Record{Kind: "k", Key: "a", ExpiresAt: time.Now().Add(-time.Second)})
	wantErr(t, "save with an expiry that has passed", err, store.ErrExpired)
}

func recordRaceLosesNoIncrement(t *testing.T, s store.Store) {
	race(func(int) {
		for {
			r, err := s.Record(t.Context(), "k", "a")
			if errors.Is(err, store.ErrNotFound) {
				r, err = store.Record{Kind: "k", Key: "a", Body: "0"}, nil
			}
			n, bad := strconv.Atoi(r.Body)
			if err = errors.Join(err, bad); err != nil {
				t.Errorf("got error %v, want none", err)
				return
			}
			r.Body = strconv.Itoa(n + 1)
			switch _, err = s.SaveRecord(t.Context(), r); {
			case err == nil:
				return
			case !errors.Is(err, store.ErrConflict):
				t.Errorf("got error %v, want %v", err, store.ErrConflict)
				return
			}
		}
	})
	if r, err := s.Record(t.Context(), "k", "a"); err != nil || r.Body != strconv.Itoa(racers) {
		t.Errorf("got %q increments, %v, want %d", r.Body, err, racers)
	}
}

func recordsComeByKey(t *testing.T, s store.Store) {
	all, err := s.Records(t.Context(), "k", "", 9)
	wantRecords(t, s, "none", all, err)
	for i, key := range []string{"b", "a", "é", "B", "ab", "c\x00", "c"} {
		saveRecord(t, s, store.Record{Kind: "k", Key: key, Owner: []string{"", "o", "o2"}[i%3]})
		saveRecord(t, s, store.Record{Kind: "l", Key: key, Owner: "o"})
	}
	all, err = s.Records(t.Context(), "k", "", 99)
	wantRecords(t, s, "all", all, err, "B", "a", "ab", "b", "c", "c\x00", "é")
	var keys []string
	for after := ""; ; after = keys[len(keys)-1] {
		page, err := s.Records(t.Context(), "k", after, 2)
		if must(t, err); len(page) == 0 {
			break
		}
		for _, r := range page {
			keys = append(keys, r.Key)
		}
	}
	wantRecords(t, s, "in pages", all, nil, keys...)
	all, err = s.Records(t.Context(), "k", "bb", 2)
	wantRecords(t, s, "after a key that is not there", all, err, "c", "c\x00")
	for owner, want := range map[string][]string{"": {"B", "b", "c"}, "o": {"a", "ab"}, "o2": {"c\x00", "é"}, "p": nil} {
		all, err = s.RecordsOf(t.Context(), "k", owner, "", 9)
		wantRecords(t, s, "of "+owner, all, err, want...)
	}
	all, err = s.RecordsOf(t.Context(), "k", "", "B", 1)
	wantRecords(t, s, "of an owner, after a key", all, err, "b")
	if n, err := s.CountRecords(t.Context(), "k", time.Time{}); err != nil || n != 7 {
		t.Errorf("got %d records, %v, want 7", n, err)
	}
}

func recordsComeByDue(t *testing.T, s store.Store) {
	for key, due := range map[string]time.Time{"d": dueAt(3), "b": dueAt(1), "c": dueAt(1), "a": dueAt(2), "never": {}} {
		saveRecord(t, s, store.Record{Kind: "k", Key: key, Due: due})
		saveRecord(t, s, store.Record{Kind: "l", Key: key, Due: due})
	}
	for until, want := range map[int64][]string{0: nil, 1: {"b", "c"}, 2: {"b", "c", "a"}, 9: {"b", "c", "a", "d"}} {
		all, err := s.RecordsDue(t.Context(), "k", dueAt(until), 9)
		wantRecords(t, s, fmt.Sprint("due at ", until), all, err, want...)
		if n, err := s.CountRecords(t.Context(), "k", dueAt(until)); err != nil || n != len(want) {
			t.Errorf("got %d due at %d, %v, want %d", n, until, err, len(want))
		}
	}
	all, err := s.RecordsDue(t.Context(), "k", dueAt(9), 3)
	wantRecords(t, s, "the longest due", all, err, "b", "c", "a")
	all, err = s.RecordsLatest(t.Context(), "k", time.Time{}, "", 9)
	wantRecords(t, s, "latest", all, err, "d", "a", "c", "b")
	all, err = s.RecordsLatest(t.Context(), "k", time.Time{}, "", 3)
	wantRecords(t, s, "latest three", all, err, "d", "a", "c")
	all, err = s.RecordsLatest(t.Context(), "k", dueAt(1), "c", 3)
	wantRecords(t, s, "the rest", all, err, "b")
	all, err = s.RecordsLatest(t.Context(), "k", dueAt(2), "a", 1)
	wantRecords(t, s, "the next", all, err, "c")
	if n, err := s.CountRecords(t.Context(), "k", time.Time{}); err != nil || n != 5 {
		t.Errorf("got %d records, %v, want 5", n, err)
	}
}

func recordsFollowAChange(t *testing.T, s store.Store) {
	r := saveRecord(t, s, store.Record{Kind: "k", Key: "a", Owner: "o", Due: dueAt(1), ExpiresAt: soon()})
	saveRecord(t, s, store.Record{Kind: "k", Key: "b", Owner: "o", Due: dueAt(2)})
	r.Owner, r.Due, r.ExpiresAt = "p", dueAt(3), time.Time{}
	r = saveRecord(t, s, r)
	all, err := s.RecordsOf(t.Context(), "k", "o", "", 9)
	wantRecords(t, s, "of the owner before", all, err, "b")
	all, err = s.RecordsOf(t.Context(), "k", "p", "", 9)
	wantRecords(t, s, "of the owner now", all, err, "a")
	all, err = s.RecordsDue(t.Context(), "k", dueAt(9), 9)
	wantRecords(t, s, "by due", all, err, "b", "a")
	r.Due = time.Time{}
	saveRecord(t, s, r)
	all, err = s.RecordsDue(t.Context(), "k", dueAt(9), 9)
	wantRecords(t, s, "by due, when it has none", all, err, "b")
}

func recordsLeaveOutTheExpired(t *testing.T, s store.Store) {
	const dead = 150
	writeBrief(t, func(e time.Time) error {
		for i := range dead {
			_, err := s.SaveRecord(t.Context(), store.Record{Kind: "k", Key: fmt.Sprint("a", i), Owner: "o", Due: dueAt(1), ExpiresAt: e})
			if err != nil && !errors.Is(err, store.ErrConflict) { // written in an earlier attempt
				return err
			}
		}
		return nil
	})
	for _, key := range []string{"b", "c"} {
		saveRecord(t, s, store.Record{Kind: "k", Key: key, Owner: "o", Due: dueAt(2)})
	}
	all, err := s.Records(t.Context(), "k", "", 2)
	wantRecords(t, s, "by key", all, err, "b", "c")
	all, err = s.RecordsOf(t.Context(), "k", "o", "", 2)
	wantRecords(t, s, "by owner", all, err, "b", "c")
	all, err = s.RecordsDue(t.Context(), "k", dueAt(2), 2)
	wantRecords(t, s, "by due", all, err, "b", "c")
	all, err = s.RecordsLatest(t.Context(), "k", dueAt(2), "c", 2)
	wantRecords(t, s, "latest", all, err, "b")
	for range 3 * dead { // enough writes for every store to have swept
		r, err := s.Record(t.Context(), "k", "b")
		must(t, err)
		saveRecord(t, s, r)
	}
	if n, err := s.CountRecords(t.Context(), "k", time.Time{}); err != nil || n != 2 {
		t.Errorf("got %d records, %v, want 2", n, err)
	}
}

func recordsRevisionTellsOfEachChange(t *testing.T, s store.Store) {
	last := int64(-1)
	want := func(what string, another bool) {
		t.Helper()
		n, err := s.RecordsRevision(t.Context(), "k")
		if must(t, err); (n != last) != another {
			t.Errorf("%s: got revision %d after %d, want another: %v", what, n, last, another)
		}
		last = n
	}
	want("at first", true)
	if last != 0 {
		t.Errorf("got revision %d, want 0 before the first record", last)
	}
	r := saveRecord(t, s, store.Record{Kind: "k", Key: "a"})
	want("saved", true)
	want("read again", false)
	r2 := saveRecord(t, s, r)
	want("saved again", true)
	_, err := s.SaveRecord(t.Context(), r)
	wantErr(t, "save an older version", err, store.ErrConflict)
	saveRecord(t, s, store.Record{Kind: "other", Key: "a"})
	want("nothing saved of the kind", false)
	must(t, s.DeleteRecord(t.Context(), "k", "a", r2.Version))
	want("deleted", true)
	must(t, s.DeleteRecord(t.Context(), "k", "a", r2.Version))
	want("deleted again", false)
}
