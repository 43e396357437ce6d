package record_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/anyframe-relay/relay/relay/internal/event"
	"github.com/anyframe-relay/relay/relay/internal/problem"
	"github.com/anyframe-relay/relay/relay/internal/record"
	"github.com/anyframe-relay/relay/relay/internal/store"
	"github.com/anyframe-relay/relay/relay/internal/store/memory"
)

const visitor = "v"

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// open returns another process's record of the visitor, as it is now.
func open(t *testing.T, st *memory.Store) *record.Record {
	t.Helper()
	r := record.New(st, visitor, time.Hour)
	row, err := r.Read(t.Context())
	must(t, err)
	r.Set(row)
	return r
}

// begin makes id the next epoch's session.
func begin(t *testing.T, r *record.Record, id string) store.Session {
	t.Helper()
	row, _ := r.Row()
	row, err := r.Begin(t.Context(), row, id)
	must(t, err)
	r.Set(row)
	return row
}

func TestBegin_RacingProcesses_OneEpoch(t *testing.T) {
	st := memory.New()
	a, b := open(t, st), open(t, st)
	if row := begin(t, a, "s1"); row.Epoch != 1 || row.UpstreamID != "s1" {
		t.Errorf("got %+v, want the first epoch", row)
	}
	row, _ := b.Row()
	if _, err := b.Begin(t.Context(), row, "s2"); !errors.Is(err, store.ErrConflict) {
		t.Errorf("the other process: got %v, want a conflict", err)
	}
}

// Another process stores how far the ended epoch went.
func TestBegin_OldEpochChangedElsewhere_NextEpoch(t *testing.T) {
	st := memory.New()
	a := open(t, st)
	begin(t, a, "s1")
	row, _ := a.Row()
	must(t, open(t, st).Save(t.Context(), 1, false, func(row *store.Session) { row.LastSeq = 7 }))
	if next, err := a.Begin(t.Context(), row, "s2"); err != nil || next.Epoch != 2 || next.UpstreamID != "s2" || next.LastSeq != 0 {
		t.Errorf("got %+v, %v, want the second epoch", next, err)
	}
	if _, err := a.Begin(t.Context(), row, "s3"); !errors.Is(err, store.ErrConflict) {
		t.Errorf("once more: got %v, want a conflict", err)
	}
}

func TestSave_ChangedElsewhere_BothChangesKept(t *testing.T) {
	st := memory.New()
	a := open(t, st)
	begin(t, a, "s1")
	b := open(t, st)
	must(t, a.Save(t.Context(), 1, false, func(row *store.Session) { row.State = "running" }))
	must(t, b.Save(t.Context(), 1, false, func(row *store.Session) { row.LastSeq = 7 }))
	row, err := a.Read(t.Context())
	must(t, err)
	if row.State != "running" || row.LastSeq != 7 {
		t.Errorf("got %+v, want both changes", row)
	}
	if seen, _ := b.Row(); seen.State != "running" {
		t.Errorf("got %+v in memory, want what the other process wrote, too", seen)
	}
}

func TestSave_AnotherEpochOrEnd_LeftAlone(t *testing.T) {
	change := func(row *store.Session) { row.LastSeq = 99 }
	for name, tt := range map[string]struct {
		elsewhere func(*testing.T, *record.Record)
		epoch     int64
		ended     bool
		want      error
	}{
		"another session": {func(t *testing.T, r *record.Record) { begin(t, r, "s2") }, 1, false, store.ErrConflict},
		"ended elsewhere": {func(t *testing.T, r *record.Record) {
			must(t, r.Save(t.Context(), 1, true, func(row *store.Session) { row.State = string(event.StatusEnded) }))
		}, 1, false, store.ErrConflict},
		"ended here, too": {func(t *testing.T, r *record.Record) {
			must(t, r.Save(t.Context(), 1, true, func(row *store.Session) { row.State = string(event.StatusEnded) }))
		}, 1, true, nil},
		"an epoch of before": {func(*testing.T, *record.Record) {}, 0, false, store.ErrConflict},
	} {
		t.Run(name, func(t *testing.T) {
			st := memory.New()
			a := open(t, st)
			begin(t, a, "s1")
			b := open(t, st)
			tt.elsewhere(t, b)
			if err := a.Save(t.Context(), tt.epoch, tt.ended, change); !errors.Is(err, tt.want) {
				t.Errorf("got %v, want %v", err, tt.want)
			}
			row, err := b.Read(t.Context())
			must(t, err)
			if changed := row.LastSeq == 99; changed != (tt.want == nil) {
				t.Errorf("got %+v in the store, want it changed: %v", row, tt.want == nil)
			}
		})
	}
}

func TestExtend_NotYetDue_WritesNothing(t *testing.T) {
	st := memory.New()
	r := open(t, st)
	before := begin(t, r, "s1")
	extended, err := r.Extend(t.Context(), false, time.Now().Add(time.Hour))
	must(t, err)
	if row, _ := r.Row(); extended || row.Version != before.Version {
		t.Error("got the row written again, want it left as it is")
	}
	extended, err = r.Extend(t.Context(), false, time.Now().Add(2*time.Hour))
	must(t, err)
	if row, _ := r.Row(); !extended || row.Version == before.Version {
		t.Error("got the row left as it is, want it kept for longer")
	}
}

func TestForget_SessionThere_VoidForAWhile(t *testing.T) {
	st := memory.New()
	r := open(t, st)
	begin(t, r, "s1")
	must(t, record.Forget(t.Context(), st, visitor, time.Minute))
	row, err := r.Read(t.Context())
	if !errors.Is(err, problem.VisitorUnknown) || row.UpstreamID != "s1" || row.State != record.StateVoid {
		t.Errorf("got %+v, %v, want a mark that names the sandbox", row, err)
	}
	if _, _, err := r.Reconcile(t.Context(), row); !errors.Is(err, problem.VisitorUnknown) {
		t.Errorf("got %v, want nothing restored of a visitor who was forgotten", err)
	}
}

// Rows that a store has lost are restored from a process's memory.
func TestReconcile_StoreLostRow_Restored(t *testing.T) {
	st := memory.New()
	r := open(t, st)
	begin(t, r, "s1")
	must(t, st.Forget(t.Context(), visitor))
	lost, err := r.Read(t.Context())
	must(t, err)
	row, repair, err := r.Reconcile(t.Context(), lost)
	must(t, err)
	if !repair.Restored || repair.Stray != "" || row.UpstreamID != "s1" || row.Epoch != 1 {
		t.Errorf("got %+v, %+v, want the row put back", row, repair)
	}
	if again, repair, err := r.Reconcile(t.Context(), row); err != nil || repair != (record.Repair{}) || again != row {
		t.Errorf("got %+v, %+v, %v, want nothing more to do", again, repair, err)
	}
}

// If another process began the lost epoch again, its sandbox becomes the next epoch and
// no row has ours.
func TestReconcile_StoreLostRowAndEpochBegunAnew_NextEpoch(t *testing.T) {
	st := memory.New()
	here := open(t, st)
	begin(t, here, "ours")
	must(t, st.Forget(t.Context(), visitor))
	there := open(t, st)
	anew := begin(t, there, "theirs")
	row, repair, err := here.Reconcile(t.Context(), anew)
	must(t, err)
	if row.Epoch != 2 || row.UpstreamID != "theirs" || repair != (record.Repair{Stray: "ours", Moved: 1}) {
		t.Errorf("got %+v, %+v, want their sandbox as the epoch 2, and ours to be terminated", row, repair)
	}
}

func TestLock_Taken_EndsWithContext(t *testing.T) {
	r := open(t, memory.New())
	unlock, err := r.Lock(t.Context())
	must(t, err)
	over, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := r.Lock(over); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want the context's error", err)
	}
	unlock()
	again, err := r.Lock(t.Context())
	must(t, err)
	again()
}

func TestBlank_EndedEpoch_NumberKeptAlone(t *testing.T) {
	st := memory.New()
	r := open(t, st)
	begin(t, r, "s1")
	if _, changed, err := r.Blank(t.Context(), 2); err != nil || changed {
		t.Errorf("got changed %v, %v, want another epoch left alone", changed, err)
	}
	row, changed, err := r.Blank(t.Context(), 1)
	if must(t, err); !changed || !record.Erased(row) || row.Epoch != 1 || row.State != "ended" {
		t.Errorf("got %+v, changed %v, want the number alone", row, changed)
	}
	if _, changed, err = r.Blank(t.Context(), 1); err != nil || changed {
		t.Errorf("got changed %v, %v, want nothing to do", changed, err)
	}
	// A process that still has the session in memory does not take it for lost.
	if got, repair, err := r.Reconcile(t.Context(), row); err != nil || got != row || repair != (record.Repair{}) {
		t.Errorf("got %+v, repaired %+v, %v, want it as it is", got, repair, err)
	}
}

func TestErase_Visitor_KeptFirstAndVoid(t *testing.T) {
	st := memory.New()
	r := open(t, st)
	begin(t, r, "s1")
	_, _, err := st.BeginNote(t.Context(), store.Note{Visitor: visitor, Kind: "turn", Key: "k", Epoch: 1, ExpiresAt: time.Now().Add(time.Hour)})
	must(t, err)
	failed := errors.New("not now")
	if err := record.Erase(t.Context(), st, visitor, time.Hour, func(int64, string) error { return failed }); !errors.Is(err, failed) {
		t.Errorf("got error %v, want %v", err, failed)
	}
	if row, err := r.Read(t.Context()); err != nil || row.UpstreamID != "s1" {
		t.Errorf("got %+v, %v, want the row as it was: nothing else names the session", row, err)
	}
	var kept []string
	for range 2 {
		must(t, record.Erase(t.Context(), st, visitor, time.Hour, func(_ int64, id string) error {
			kept = append(kept, id)
			return nil
		}))
	}
	row, err := r.Read(t.Context())
	if !errors.Is(err, problem.VisitorUnknown) || !record.Erased(row) || row.Epoch != 1 || len(kept) != 1 || kept[0] != "s1" {
		t.Errorf("got %+v, %v, kept %q, want a mark without the session, which is kept", row, err, kept)
	}
	if _, err := st.Note(t.Context(), visitor, "turn", "k"); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("got error %v, want the notes gone", err)
	}
}

func TestEraseUnused_OnlyWithoutEpoch_VoidForAtLeastThatLong(t *testing.T) {
	st := memory.New()
	r := open(t, st)
	for _, tt := range []struct{ keep, want time.Duration }{{time.Hour, time.Hour}, {3 * time.Hour, 3 * time.Hour}, {time.Hour, 3 * time.Hour}} {
		unused, err := record.EraseUnused(t.Context(), st, visitor, tt.keep)
		must(t, err)
		row, err := r.Read(t.Context())
		if left := time.Until(row.ExpiresAt); !unused || !errors.Is(err, problem.VisitorUnknown) || left > tt.want || left < tt.want-time.Minute {
			t.Errorf("got unused %v, a row for %v, %v, want a mark for %v", unused, left, err, tt.want)
		}
	}
	if _, err := r.Begin(t.Context(), store.Session{Visitor: visitor}, "s1"); !errors.Is(err, store.ErrConflict) {
		t.Errorf("a conversation that begins afterwards: got error %v, want a conflict", err)
	}

	st = memory.New()
	r = open(t, st)
	begin(t, r, "s1")
	if unused, err := record.EraseUnused(t.Context(), st, visitor, time.Hour); unused || err != nil {
		t.Errorf("with a conversation: got unused %v, %v, want it used", unused, err)
	}
	if row, err := r.Read(t.Context()); err != nil || row.UpstreamID != "s1" {
		t.Errorf("with a conversation: got %+v, %v, want the row as it was", row, err)
	}
}

// A change may have been computed before the end was seen.
func TestSave_ChangeOfStateAfterEnd_StaysEnded(t *testing.T) {
	st := memory.New()
	r := open(t, st)
	begin(t, r, "s1")
	must(t, r.Save(t.Context(), 1, true, func(row *store.Session) { row.State = string(event.StatusEnded) }))
	must(t, r.Save(t.Context(), 1, true, func(row *store.Session) { row.State, row.LastSeq = string(event.StatusSleeping), 9 }))
	row, err := r.Read(t.Context())
	must(t, err)
	if row.State != string(event.StatusEnded) || row.LastSeq != 9 {
		t.Errorf("got %+v, want the end kept and the rest changed", row)
	}
}
