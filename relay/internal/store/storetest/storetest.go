// Package storetest holds the tests that every [store.Store] must pass.
package storetest

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/anyframe-relay/relay/relay/internal/store"
)

// racers is how many goroutines compete for one row.
const racers = 50

// Run runs the suite. Open returns an empty store and closes it with the test.
func Run(t *testing.T, open func(t *testing.T) store.Store) {
	for _, test := range []struct {
		name string
		run  func(*testing.T, store.Store)
	}{
		{"TokenIsFoundUntilItExpires", tokenIsFoundUntilItExpires},
		{"TokenWithoutAFutureIsRefused", tokenWithoutAFutureIsRefused},
		{"TokenBytesBelongToTheCaller", tokenBytesBelongToTheCaller},
		{"TokensServeASessionManager", tokensServeASessionManager},
		{"SessionOfAStrangerIsZero", sessionOfAStrangerIsZero},
		{"SessionComesBackAsSaved", sessionComesBackAsSaved},
		{"SessionOfAnyTextAndNumberComesBack", sessionOfAnyTextAndNumberComesBack},
		{"SessionIsSavedOnlyOverItsVersion", sessionIsSavedOnlyOverItsVersion},
		{"SessionVersionNeverReturns", sessionVersionNeverReturns},
		{"SessionExpires", sessionExpires},
		{"SessionRaceHasOneWinner", sessionRaceHasOneWinner},
		{"SessionLosesNoIncrement", sessionLosesNoIncrement},
		{"NoteComesBackAsSaved", noteComesBackAsSaved},
		{"NoteIsBegunOnce", noteIsBegunOnce},
		{"NoteRaceHasOneBeginner", noteRaceHasOneBeginner},
		{"NoteIsSavedOnlyOverItsVersion", noteIsSavedOnlyOverItsVersion},
		{"NoteExpires", noteExpires},
		{"NoteBegunAgainIsListedOnce", noteBegunAgainIsListedOnce},
		{"NoteVersionNeverReturns", noteVersionNeverReturns},
		{"NotesComeInTheOrderTheyWereBegun", notesComeInTheOrderTheyWereBegun},
		{"NotesAreOfOneVisitorKindAndEpoch", notesAreOfOneVisitorKindAndEpoch},
		{"NotesSinceReturnsChangesOnly", notesSinceReturnsChangesOnly},
		{"NotesSinceIsOfOneVisitorKindAndEpoch", notesSinceIsOfOneVisitorKindAndEpoch},
		{"NotesSinceLeavesOutTheExpired", notesSinceLeavesOutTheExpired},
		{"NotesSinceSurvivesLostWrites", notesSinceSurvivesLostWrites},
		{"NotesSinceMissesNoChange", notesSinceMissesNoChange},
		{"NotesAtComeByPlace", notesAtComeByPlace},
		{"NotesAtAreLimited", notesAtAreLimited},
		{"NotesAtFollowAChange", notesAtFollowAChange},
		{"NotesAtLeaveOutTheExpired", notesAtLeaveOutTheExpired},
		{"RowsWithoutAFutureAreRefused", rowsWithoutAFutureAreRefused},
		{"ForgetTakesOneVisitorsRows", forgetTakesOneVisitorsRows},
		{"ForgetEpochTakesItsNotes", forgetEpochTakesItsNotes},
		{"RecordComesBackAsSaved", recordComesBackAsSaved},
		{"RecordIsSavedOnlyOverItsVersion", recordIsSavedOnlyOverItsVersion},
		{"RecordIsDeletedAtItsVersion", recordIsDeletedAtItsVersion},
		{"RecordExpires", recordExpires},
		{"RecordThatIsWrongIsRefused", recordThatIsWrongIsRefused},
		{"RecordRaceLosesNoIncrement", recordRaceLosesNoIncrement},
		{"RecordsComeByKey", recordsComeByKey},
		{"RecordsComeByDue", recordsComeByDue},
		{"RecordsFollowAChange", recordsFollowAChange},
		{"RecordsLeaveOutTheExpired", recordsLeaveOutTheExpired},
		{"RecordsRevisionTellsOfEachChange", recordsRevisionTellsOfEachChange},
		{"LeaseHasOneOwner", leaseHasOneOwner},
		{"LeaseIsTakenOverWhenItRanOut", leaseIsTakenOverWhenItRanOut},
		{"LeaseIsReleasedByItsOwnerOnly", leaseIsReleasedByItsOwnerOnly},
		{"LeaseFencesRiseOverAllLeases", leaseFencesRiseOverAllLeases},
		{"LeaseRaceHasOneWinner", leaseRaceHasOneWinner},
		{"QuotaHasItsLimit", quotaHasItsLimit},
		{"QuotaIsLookedAtForNothing", quotaIsLookedAtForNothing},
		{"QuotaIsGivenBack", quotaIsGivenBack},
		{"QuotaHasRoomWhenItSaid", quotaHasRoomWhenItSaid},
		{"QuotaRaceKeepsTheLimit", quotaRaceKeepsTheLimit},
		{"CounterHasItsLimit", counterHasItsLimit},
		{"CounterStartsAgainWhenItExpired", counterStartsAgainWhenItExpired},
		{"CounterRaceKeepsTheLimit", counterRaceKeepsTheLimit},
		{"NoMoreAreAwakeThanMayBe", noMoreAreAwakeThanMayBe},
		{"SandboxesAreCountedInOneGo", sandboxesAreCountedInOneGo},
		{"SandboxLeavesWithItsOwnTicketOnly", sandboxLeavesWithItsOwnTicketOnly},
		{"IdlestAreOfLowestRank", idlestAreOfLowestRank},
		{"SandboxIsNotCountedForEver", sandboxIsNotCountedForEver},
		{"AdmissionRaceKeepsTheLimit", admissionRaceKeepsTheLimit},
		{"MarkTellsASavedSession", markTellsASavedSession},
		{"MarkTellsASessionThatExpired", markTellsASessionThatExpired},
		{"MarkTellsATokenThatIsGone", markTellsATokenThatIsGone},
		{"MarkTellsANoteThatChanged", markTellsANoteThatChanged},
		{"MarksMayBeMany", marksMayBeMany},
		{"DeadRowsDoNotHideLivingOnes", deadRowsDoNotHideLivingOnes},
		{"EndedContextStopsEveryCall", endedContextStopsEveryCall},
		{"ClosedStoreRefusesEveryCall", closedStoreRefusesEveryCall},
		{"AnyTextIsKept", anyTextIsKept},
	} {
		t.Run(test.name, func(t *testing.T) { test.run(t, open(t)) })
	}
}

// soon is an expiry far enough away for any test.
func soon() time.Time { return time.Now().Add(time.Hour).Truncate(time.Millisecond).UTC() }

// brief is an expiry that a test can outlive. A slow machine may find it already
// passed, so tests use writeBrief.
const brief = 50 * time.Millisecond

// gone waits until a row that expires at expiry has expired. The clock is not
// faked, because the backend may be another process with its own clock.
func gone(t *testing.T, expiry time.Time) {
	t.Helper()
	timer := time.NewTimer(time.Until(expiry) + 2*time.Millisecond)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-t.Context().Done():
		t.Fatal(t.Context().Err())
	}
}

// writeBrief calls write with an expiry that is about to pass, and again with a
// later one if the store finds it already passed. Then it waits until it passes.
func writeBrief(t *testing.T, write func(expiry time.Time) error) {
	t.Helper()
	for life := brief; life < 10*time.Second; life *= 2 {
		expiry := time.Now().Add(life)
		err := write(expiry)
		if errors.Is(err, store.ErrExpired) {
			continue
		}
		must(t, err)
		gone(t, time.Now().Add(life)) // a lease starts to run only when the store has it
		return
	}
	t.Fatal("got every short-lived row refused, want one stored")
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatalf("got error %v, want none", err)
	}
}

func wantErr(t *testing.T, what string, got, want error) {
	t.Helper()
	if !errors.Is(got, want) {
		t.Errorf("%s: got error %v, want %v", what, got, want)
	}
}

func saveSession(t *testing.T, s store.Store, session store.Session) store.Session {
	t.Helper()
	saved, err := s.SaveSession(t.Context(), session)
	must(t, err)
	return saved
}

func beginNote(t *testing.T, s store.Store, n store.Note) store.Note {
	t.Helper()
	if n.ExpiresAt.IsZero() {
		n.ExpiresAt = soon()
	}
	stored, fresh, err := s.BeginNote(t.Context(), n)
	must(t, err)
	if !fresh {
		t.Fatalf("got note %q there already, want it begun", n.Key)
	}
	return stored
}

func noteKeys(t *testing.T, s store.Store, visitor, kind string, epoch int64) []string {
	t.Helper()
	notes, err := s.Notes(t.Context(), visitor, kind, epoch)
	must(t, err)
	keys := make([]string, len(notes))
	for i, n := range notes {
		keys[i] = n.Key
	}
	return keys
}

// race runs f in many goroutines at once and returns when all are done.
func race(f func(i int)) {
	var wg sync.WaitGroup
	start := make(chan struct{})
	for i := range racers {
		wg.Go(func() {
			<-start
			f(i)
		})
	}
	close(start)
	wg.Wait()
}

func rowsWithoutAFutureAreRefused(t *testing.T, s store.Store) {
	session := saveSession(t, s, store.Session{Visitor: "v1", Epoch: 1, ExpiresAt: soon()})
	note := beginNote(t, s, store.Note{Visitor: "v1", Kind: "turn", Key: "k"})
	for _, expiry := range []time.Time{{}, time.Now().Add(-time.Second)} {
		bad := session
		bad.ExpiresAt = expiry
		_, err := s.SaveSession(t.Context(), bad)
		wantErr(t, "save session", err, store.ErrExpired)

		_, _, err = s.BeginNote(t.Context(), store.Note{Visitor: "v1", Kind: "turn", Key: "l", ExpiresAt: expiry})
		wantErr(t, "begin note", err, store.ErrExpired)

		n := note
		n.ExpiresAt = expiry
		_, err = s.SaveNote(t.Context(), n)
		wantErr(t, "save note", err, store.ErrExpired)
	}
	for _, ttl := range []time.Duration{0, -time.Second} {
		_, ok, err := s.Acquire(t.Context(), "lease", "me", ttl)
		wantErr(t, "acquire", err, store.ErrExpired)
		if ok {
			t.Errorf("got a lease of %v, want none", ttl)
		}
		_, ok, err = s.Admit(t.Context(), "v1", 1, 0, ttl)
		wantErr(t, "admit", err, store.ErrExpired)
		if ok {
			t.Errorf("got admitted for %v, want not", ttl)
		}
		_, err = s.AdmitAll(t.Context(), []store.Awake{{Visitor: "v1"}}, ttl)
		wantErr(t, "admit all", err, store.ErrExpired)
	}
	got, err := s.Session(t.Context(), "v1")
	must(t, err)
	if got != session {
		t.Errorf("got %+v, want %+v", got, session)
	}
	if got := noteKeys(t, s, "v1", "turn", 0); len(got) != 1 {
		t.Errorf("got notes %q, want only the first", got)
	}
}

func forgetTakesOneVisitorsRows(t *testing.T, s store.Store) {
	for _, v := range []string{"v1", "v2"} {
		saveSession(t, s, store.Session{Visitor: v, Epoch: 1, ExpiresAt: soon()})
		beginNote(t, s, store.Note{Visitor: v, Kind: "turn", Key: "k", Epoch: 1})
		beginNote(t, s, store.Note{Visitor: v, Kind: "prompt", Key: "k", Epoch: 2})
	}
	must(t, s.Forget(t.Context(), "v1"))
	must(t, s.Forget(t.Context(), "v1"))
	for v, want := range map[string]int{"v1": 0, "v2": 1} {
		session, err := s.Session(t.Context(), v)
		must(t, err)
		got := []int{int(session.Epoch), len(noteKeys(t, s, v, "turn", 1)), len(noteKeys(t, s, v, "prompt", 2))}
		if got[0] != want || got[1] != want || got[2] != want {
			t.Errorf("visitor %s: got %v of session, turns, prompts, want %d of each", v, got, want)
		}
	}
	beginNote(t, s, store.Note{Visitor: "v1", Kind: "turn", Key: "k", Epoch: 1})
}

func deadRowsDoNotHideLivingOnes(t *testing.T, s store.Store) {
	const dead = 40
	writeBrief(t, func(e time.Time) error {
		for i := range dead {
			v := fmt.Sprint("dead-", i)
			if err := s.Commit(v, []byte("x"), e); err != nil {
				return err
			}
			if _, err := s.SaveSession(t.Context(), store.Session{Visitor: v, ExpiresAt: e}); err != nil {
				if errors.Is(err, store.ErrConflict) {
					continue // written in an earlier attempt and not expired yet
				}
				return err
			}
			if _, _, err := s.BeginNote(t.Context(), store.Note{Visitor: v, Kind: "turn", Key: "k", ExpiresAt: e}); err != nil {
				return err
			}
		}
		return nil
	})
	for i := range 3 * dead { // enough writes for every store to have swept
		v := fmt.Sprint("live-", i)
		must(t, s.Commit(v, []byte(v), soon()))
		saveSession(t, s, store.Session{Visitor: v, Epoch: 1, ExpiresAt: soon()})
		beginNote(t, s, store.Note{Visitor: v, Kind: "turn", Key: "k"})
	}
	for i := range 3 * dead {
		v := fmt.Sprint("live-", i)
		if b, found, err := s.Find(v); err != nil || !found || string(b) != v {
			t.Errorf("got token %q found %v error %v, want %q", b, found, err, v)
		}
		if session, err := s.Session(t.Context(), v); err != nil || session.Epoch != 1 {
			t.Errorf("got session %+v error %v, want epoch 1", session, err)
		}
		if _, err := s.Note(t.Context(), v, "turn", "k"); err != nil {
			t.Errorf("got error %v, want the note of %s", err, v)
		}
	}
}

func anyTextIsKept(t *testing.T, s store.Store) {
	for i, text := range []string{"", "'; DROP TABLE notes; --", "\x00\x01", "späße 🙂", strings.Repeat("x", 1<<20)} {
		key := text[:min(len(text), 64)]
		n := beginNote(t, s, store.Note{Visitor: "v1", Kind: "turn", Key: key, Body: text, Hash: text})
		got, err := s.Note(t.Context(), "v1", "turn", key)
		must(t, err)
		if got != n || got.Body != text {
			t.Errorf("text %d: got a note with another text, want it as it was", i)
		}
	}
}
