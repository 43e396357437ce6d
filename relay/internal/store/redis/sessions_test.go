package redis_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/anyframe-relay/relay/relay/internal/store"
	"github.com/anyframe-relay/relay/relay/internal/store/redistest"
)

// ordinary is a typical session of a returning visitor.
func ordinary() store.Session {
	return store.Session{
		Visitor: "ABCDEFGHIJKLMNOPQRSTUVWXYZ", Epoch: 3, UpstreamID: "0f0e0d0c-0b0a-4908-8706-f5f4f3f2f1f0",
		State: "sleeping", LastSeq: 12345, ExpiresAt: time.Now().Add(720 * time.Hour).Truncate(time.Millisecond).UTC(),
	}
}

// Sessions of earlier builds, in another format, survive an upgrade.
func TestSession_EarlierBuild_Read(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	s, client := open(t, server.URL(), "p:"), server.Client()
	want := ordinary()
	want.Version, want.UpdatedAt = 8123456789012345678, time.UnixMilli(1790000000000).UTC()
	key := "p:{" + want.Visitor + "}s"
	must(t, client.Set(t.Context(), key, fmt.Sprintf(`%d {"n":3,"u":%q,"s":"sleeping","q":12345,"t":1790000000000,"x":%d}`,
		want.Version, want.UpstreamID, want.ExpiresAt.UnixMilli()), time.Hour).Err())
	got, err := s.Session(t.Context(), want.Visitor)
	must(t, err)
	if got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	for _, version := range []int64{0, 8, 812345678901234567, want.Version + 1} {
		other := want
		other.Version = version
		if _, err := s.SaveSession(t.Context(), other); !errors.Is(err, store.ErrConflict) {
			t.Errorf("saved at version %d: got error %v, want %v", version, err, store.ErrConflict)
		}
	}
	got.LastSeq++
	saved, err := s.SaveSession(t.Context(), got)
	must(t, err)
	if got, err = s.Session(t.Context(), want.Visitor); err != nil || got != saved {
		t.Errorf("got %+v error %v, want %+v", got, err, saved)
	}
	if raw := client.Get(t.Context(), key).Val(); strings.Contains(raw, `{"n"`) {
		t.Errorf("got %q stored, want it in today's form", raw)
	}
}

func TestSession_Unreadable_Refused(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	s, client := open(t, server.URL(), "p:"), server.Client()
	session, err := s.SaveSession(t.Context(), ordinary())
	must(t, err)
	key := "p:{" + session.Visitor + "}s"
	whole, err := client.Get(t.Context(), key).Result()
	must(t, err)
	const newer, broken = "a newer one wrote it", "is not readable"
	bad := map[string]string{
		"\x02" + whole[1:]: newer, "": newer, "x": newer, "{}": newer, "12": broken, "12 {": broken, "x12 {}": newer,
		whole + "x": broken, whole[:len(whole)-18] + "\x7f" + whole[len(whole)-17:]: broken,
	}
	for n := 1; n < len(whole); n++ {
		bad[whole[:n]] = broken
	}
	for raw, why := range bad {
		must(t, client.Set(t.Context(), key, raw, time.Hour).Err())
		if got, err := s.Session(t.Context(), session.Visitor); err == nil || !strings.Contains(err.Error(), why) {
			t.Errorf("%q: got %+v error %v, want one that says %q", raw, got, err, why)
		}
	}
	must(t, client.Set(t.Context(), key, "\x02"+whole[1:], time.Hour).Err())
	for _, version := range []int64{0, session.Version} {
		session.Version = version
		if _, err := s.SaveSession(t.Context(), session); !errors.Is(err, store.ErrConflict) {
			t.Errorf("saved over what is newer: got error %v, want %v", err, store.ErrConflict)
		}
	}
}

// Redis allocates values of up to 44 bytes together with their object.
func TestSession_Ordinary_Embedded(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	s, client := open(t, server.URL(), "p:"), server.Client()
	session := ordinary()
	for _, session.State = range []string{"booting", "running", "sleeping", "failed", "ended", "void"} {
		var err error
		session, err = s.SaveSession(t.Context(), session)
		must(t, err)
		key := "p:{" + session.Visitor + "}s"
		if got := client.ObjectEncoding(t.Context(), key).Val(); got != "embstr" {
			t.Errorf("%s: got %s of %d bytes, want embstr", session.State, got, client.StrLen(t.Context(), key).Val())
		}
	}
}
