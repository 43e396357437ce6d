package storetest

import (
	"errors"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/anyframe-relay/relay/relay/internal/store"
)

func sessionOfAStrangerIsZero(t *testing.T, s store.Store) {
	got, err := s.Session(t.Context(), "v1")
	must(t, err)
	if want := (store.Session{Visitor: "v1"}); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

func sessionComesBackAsSaved(t *testing.T, s store.Store) {
	before := time.Now().Truncate(time.Millisecond)
	want := store.Session{
		Visitor: "v1", Epoch: 3, UpstreamID: "up-3", State: "running", LastSeq: math.MaxInt64,
		ExpiresAt: time.Now().Add(time.Hour).In(time.FixedZone("east", 7200)),
	}
	saved := saveSession(t, s, want)
	if saved.Version == 0 {
		t.Error("got version 0, want another")
	}
	if saved.UpdatedAt.Before(before) || saved.UpdatedAt.After(time.Now()) {
		t.Errorf("got updated at %v, want now", saved.UpdatedAt)
	}
	want.Version, want.UpdatedAt = saved.Version, saved.UpdatedAt
	want.ExpiresAt = want.ExpiresAt.Truncate(time.Millisecond).UTC()
	if saved != want {
		t.Errorf("got %+v saved, want %+v", saved, want)
	}
	got, err := s.Session(t.Context(), "v1")
	must(t, err)
	if got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

func sessionOfAnyTextAndNumberComesBack(t *testing.T, s store.Store) {
	const uuid = "0f0e0d0c-0b0a-4908-8706-f5f4f3f2f1f0"
	texts := []string{
		"", uuid, strings.ToUpper(uuid), strings.ReplaceAll(uuid, "-", ""), uuid[:35], uuid + "0", uuid[1:9] + "-" + uuid[9:],
		"sleeping", "a state to come", "\x00", "\x10" + strings.Repeat("x", 16), "\xff\x00", "späße", strings.Repeat("s", 300),
	}
	numbers := []int64{0, 1, -1, 127, 1 << 40, math.MaxInt64, math.MinInt64}
	session := store.Session{Visitor: "v1"}
	for i, text := range texts {
		for j, state := range texts {
			session.UpstreamID, session.State = text, state
			session.Epoch, session.LastSeq = numbers[i%len(numbers)], numbers[j%len(numbers)]
			session.ExpiresAt = time.Now().Add(time.Hour << (i & j)).Truncate(time.Millisecond).UTC()
			session = saveSession(t, s, session)
			if got, err := s.Session(t.Context(), "v1"); err != nil || got != session {
				t.Fatalf("got %+v error %v, want %+v", got, err, session)
			}
		}
	}
}

func sessionIsSavedOnlyOverItsVersion(t *testing.T, s store.Store) {
	first := store.Session{Visitor: "v1", Epoch: 1, ExpiresAt: soon()}
	wrong := first
	wrong.Version = 7
	_, err := s.SaveSession(t.Context(), wrong)
	wantErr(t, "save over what is not there", err, store.ErrConflict)

	one := saveSession(t, s, first)
	_, err = s.SaveSession(t.Context(), first)
	wantErr(t, "save as new what is there", err, store.ErrConflict)

	next := one
	next.Epoch = 2
	two := saveSession(t, s, next)
	if two.Version == one.Version {
		t.Errorf("got version %d twice, want another", two.Version)
	}
	_, err = s.SaveSession(t.Context(), one)
	wantErr(t, "save over a newer one", err, store.ErrConflict)

	got, err := s.Session(t.Context(), "v1")
	must(t, err)
	if got != two {
		t.Errorf("got %+v, want %+v", got, two)
	}
}

func sessionVersionNeverReturns(t *testing.T, s store.Store) {
	old := saveSession(t, s, store.Session{Visitor: "v1", Epoch: 1, ExpiresAt: soon()})
	must(t, s.Forget(t.Context(), "v1"))
	saveSession(t, s, store.Session{Visitor: "v1", Epoch: 1, ExpiresAt: soon()})
	_, err := s.SaveSession(t.Context(), old)
	wantErr(t, "save over its successor", err, store.ErrConflict)
}

func sessionExpires(t *testing.T, s store.Store) {
	var old store.Session
	writeBrief(t, func(e time.Time) (err error) {
		old, err = s.SaveSession(t.Context(), store.Session{Visitor: "v1", Epoch: 5, ExpiresAt: e})
		return err
	})
	got, err := s.Session(t.Context(), "v1")
	must(t, err)
	if want := (store.Session{Visitor: "v1"}); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	old.ExpiresAt = soon()
	_, err = s.SaveSession(t.Context(), old)
	wantErr(t, "save over the expired version", err, store.ErrConflict)
	old.Version = 0
	saveSession(t, s, old)
}

func sessionRaceHasOneWinner(t *testing.T, s store.Store) {
	won := make(chan store.Session, racers)
	race(func(i int) {
		saved, err := s.SaveSession(t.Context(), store.Session{Visitor: "v1", Epoch: int64(i + 1), ExpiresAt: soon()})
		switch {
		case err == nil:
			won <- saved
		case !errors.Is(err, store.ErrConflict):
			t.Errorf("got error %v, want %v", err, store.ErrConflict)
		}
	})
	if len(won) != 1 {
		t.Fatalf("got %d winners, want 1", len(won))
	}
	got, err := s.Session(t.Context(), "v1")
	must(t, err)
	if want := <-won; got != want {
		t.Errorf("got %+v, want the winner's %+v", got, want)
	}
}

func sessionLosesNoIncrement(t *testing.T, s store.Store) {
	saveSession(t, s, store.Session{Visitor: "v1", ExpiresAt: soon()})
	race(func(int) {
		for {
			session, err := s.Session(t.Context(), "v1")
			if err != nil {
				t.Errorf("got error %v, want none", err)
				return
			}
			session.LastSeq++
			switch _, err = s.SaveSession(t.Context(), session); {
			case err == nil:
				return
			case !errors.Is(err, store.ErrConflict):
				t.Errorf("got error %v, want %v", err, store.ErrConflict)
				return
			}
		}
	})
	got, err := s.Session(t.Context(), "v1")
	must(t, err)
	if got.LastSeq != racers {
		t.Errorf("got %d increments, want %d", got.LastSeq, racers)
	}
}
