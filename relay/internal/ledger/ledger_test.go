package ledger_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/anyframe-relay/relay/relay/internal/ledger"
	"github.com/anyframe-relay/relay/relay/internal/store"
	"github.com/anyframe-relay/relay/relay/internal/store/memory"
)

// counted counts the notes that are read.
type counted struct {
	store.NoteStore
	calls, notes int
}

func (s *counted) count(notes []store.Note) {
	s.calls++
	s.notes += len(notes)
}

func (s *counted) Note(ctx context.Context, visitor, kind, key string) (store.Note, error) {
	n, err := s.NoteStore.Note(ctx, visitor, kind, key)
	s.count([]store.Note{n})
	return n, err
}

func (s *counted) NotesSince(ctx context.Context, visitor, kind string, epoch, since int64) ([]store.Note, int64, error) {
	notes, cursor, err := s.NoteStore.NotesSince(ctx, visitor, kind, epoch, since)
	s.count(notes)
	return notes, cursor, err
}

func (s *counted) NotesAt(ctx context.Context, visitor, kind string, epoch, from, to int64, limit int) ([]store.Note, int64, error) {
	notes, cursor, err := s.NoteStore.NotesAt(ctx, visitor, kind, epoch, from, to, limit)
	s.count(notes)
	return notes, cursor, err
}

func open(t *testing.T, notes store.NoteStore, base int64) *ledger.Ledger {
	t.Helper()
	l := ledger.New(ledger.Options{Notes: notes, TTL: time.Hour}, "v1", 1, base, slog.New(slog.DiscardHandler))
	must(t, l.Load(t.Context()))
	return l
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// send sends a turn to AnyFrame, which shows it as the event seq.
func send(t *testing.T, l *ledger.Ledger, seq int64) {
	t.Helper()
	turn, err := l.Begin(t.Context(), ledger.Turn{Key: fmt.Sprint("k", seq), Text: fmt.Sprint("text ", seq), Hash: "h"})
	must(t, err)
	turn.After = seq - 1
	must(t, l.Send(t.Context(), &turn))
	turn.State, turn.Seq, turn.Answered = ledger.Sent, seq, seq
	l.Set(turn)
	must(t, l.Persist(t.Context(), turn.Key))
	l.Place(turn.Key, seq)
}

func sendMany(t *testing.T, l *ledger.Ledger, n int64) {
	t.Helper()
	for seq := int64(1); seq <= n; seq++ {
		send(t, l, seq)
	}
}

func refresh(t *testing.T, l *ledger.Ledger) (lost []ledger.Turn) {
	t.Helper()
	changes, err := l.Fetch(t.Context())
	must(t, err)
	lost, _ = l.Merge(changes, 0)
	return lost
}

func TestLoad_Turns_OnlyOpenOrAfterBase(t *testing.T) {
	notes := &counted{NoteStore: memory.New()}
	l := open(t, notes, 0)
	sendMany(t, l, 200)
	_, err := l.Begin(t.Context(), ledger.Turn{Key: "held"})
	must(t, err)
	sending, err := l.Begin(t.Context(), ledger.Turn{Key: "sending", Text: "sending"})
	must(t, err)
	must(t, l.Send(t.Context(), &sending))
	unplaced, err := l.Begin(t.Context(), ledger.Turn{Key: "unplaced", Text: "unplaced"})
	must(t, err)
	must(t, l.Send(t.Context(), &unplaced))
	unplaced.State, unplaced.After = ledger.Sent, 3
	l.Set(unplaced)
	must(t, l.Persist(t.Context(), "unplaced"))

	notes.notes = 0
	other := open(t, notes, 198)
	got := ""
	for _, turn := range other.Recent() {
		got += turn.Key + " "
	}
	if want := "k199 k200 sending unplaced "; got != want {
		t.Errorf("got turns %q, want %q", got, want)
	}
	if notes.notes != 4 {
		t.Errorf("got %d notes read, want 4", notes.notes)
	}
	if turn, ok := other.Recognize(205, "unplaced"); !ok || turn.Key != "unplaced" {
		t.Errorf("got turn %+v, %v, want the one whose seq is not known", turn, ok)
	}
}

func TestFetch_NoChange_ReadsLastTurnOnly(t *testing.T) {
	notes := &counted{NoteStore: memory.New()}
	l := open(t, notes, 0)
	sendMany(t, l, 200)
	refresh(t, l)
	notes.calls, notes.notes = 0, 0
	refresh(t, l)
	if notes.notes != 1 || notes.calls != 3 {
		t.Errorf("got %d notes in %d calls, want 1 in 3", notes.notes, notes.calls)
	}
}

func TestFetch_ChangeElsewhere_Merged(t *testing.T) {
	notes := memory.New()
	a, b := open(t, notes, 0), open(t, notes, 0)
	sendMany(t, a, 3)
	refresh(t, b)
	if got := len(b.Recent()); got != 3 {
		t.Errorf("got %d turns, want the other process's 3", got)
	}
	send(t, b, 4)
	refresh(t, a)
	if turn, ok := a.Turn("k4"); !ok || turn.State != ledger.Sent || turn.Seq != 4 {
		t.Errorf("got %+v, %v, want the turn of the other process", turn, ok)
	}
}

// Lost turns that are in memory are found and restored.
func TestFetch_StoreLost_RecentRestored(t *testing.T) {
	notes := memory.New()
	l := open(t, notes, 0)
	sendMany(t, l, 200)
	if lost := refresh(t, l); len(lost) != 0 {
		t.Errorf("got %d turns lost, want none", len(lost))
	}
	must(t, notes.Forget(t.Context(), "v1"))
	lost := refresh(t, l)
	if len(lost) != len(l.Recent()) || len(lost) == 0 || len(lost) > 64 {
		t.Fatalf("got %d turns lost, want the recent %d, which are at most 64", len(lost), len(l.Recent()))
	}
	l.Restore(t.Context(), lost)
	if again := refresh(t, l); len(again) != 0 {
		t.Errorf("got %d turns lost, want none after they were restored", len(again))
	}
	got, err := l.Stored(t.Context(), "k200")
	must(t, err)
	if got.State != ledger.Sent || got.Answered != 200 || got.Hash != "h" {
		t.Errorf("got %+v, want what a repeated key is answered", got)
	}
}

func TestPast_TurnsNotInMemory_FromStore(t *testing.T) {
	notes := &counted{NoteStore: memory.New()}
	l := open(t, notes, 0)
	sendMany(t, l, 300)
	notes.notes = 0
	past := l.Past()
	var got []int64
	for from := int64(0); from < 300; from += 7 {
		turns, err := past.Turns(t.Context(), from, from+7)
		must(t, err)
		for _, turn := range turns {
			got = append(got, turn.Seq)
		}
	}
	for i, seq := range got {
		if seq != int64(i+1) {
			t.Fatalf("got turns %d, want 1 to 300 in order", got)
		}
	}
	if len(got) != 300 || notes.notes > 330 {
		t.Errorf("got %d turns from %d notes, want 300 of which each was read once", len(got), notes.notes)
	}
	if turn, ok, err := past.Turn(t.Context(), 5); !ok || err != nil || turn.Key != "k5" {
		t.Errorf("got %+v, %v, %v, want the turn that the event 5 is", turn, ok, err)
	}
}

func TestTaken_TurnNotInMemory_Known(t *testing.T) {
	l := open(t, memory.New(), 0)
	sendMany(t, l, 200)
	for key, want := range map[string]bool{"k5": false, "another": true} {
		if got, err := l.Taken(t.Context(), 5, key); err != nil || got != want {
			t.Errorf("%s: got taken %v, %v, want %v", key, got, err, want)
		}
	}
	if got, err := l.Taken(t.Context(), 999, "another"); err != nil || got {
		t.Errorf("got taken %v, %v, want no turn there", got, err)
	}
}

func TestOthers_TurnsNotInMemory_Counted(t *testing.T) {
	notes := memory.New()
	l := open(t, notes, 0)
	sendMany(t, l, 200)
	for base, l := range map[string]*ledger.Ledger{"forgotten": l, "never read": open(t, notes, 200)} {
		for after, want := range map[int64]bool{5: true, 198: true, 200: false} {
			turn := ledger.Turn{Key: "mine", After: after}
			if got, err := l.Others(t.Context(), &turn); err != nil || got != want {
				t.Errorf("%s, after %d: got others %v, %v, want %v", base, after, got, err, want)
			}
		}
	}
}

func TestPrompts_ManySettled_FromStore(t *testing.T) {
	l := open(t, memory.New(), 0)
	for seq := int64(1); seq <= 300; seq++ {
		id := fmt.Sprint("p", seq)
		l.BeginPrompt(t.Context(), ledger.Prompt{ID: id, Seq: seq})
		l.Settle(id, "answered", seq)
		p, _ := l.Prompt(id)
		l.PersistPrompt(t.Context(), p)
	}
	if got := len(l.SettledBetween(0, 999)); got > 64 {
		t.Errorf("got %d prompts in memory, want 64 at most", got)
	}
	past := l.Past()
	got, err := past.Settled(t.Context(), 0, 999)
	must(t, err)
	if len(got) != 300 {
		t.Fatalf("got %d prompts, want 300", len(got))
	}
	for i, p := range got {
		if p.Seq != int64(i+1) || p.Outcome != "answered" {
			t.Fatalf("got %+v as the prompt %d, want them in order", p, i+1)
		}
	}
	if p, ok, err := past.Prompt(t.Context(), "p3"); !ok || err != nil || p.State != ledger.Settled {
		t.Errorf("got %+v, %v, %v, want the prompt p3 settled", p, ok, err)
	}
}

// Memory must not grow without bound if the store cannot be written for long.
func TestSet_NotStored_Bounded(t *testing.T) {
	l := open(t, memory.New(), 0)
	for i := range 1000 {
		l.Set(ledger.Turn{Key: fmt.Sprint(i), State: ledger.Unresolved, Text: "text"})
	}
	if got := len(l.Recent()); got > 256 {
		t.Errorf("got %d turns, want 256 at most", got)
	}
}

// A turn was read while in flight, and is merged after it has ended and been dropped from
// memory. It must not return as in flight.
func TestMerge_TurnEndedAndDroppedSinceFetch_NotInFlight(t *testing.T) {
	l := open(t, memory.New(), 0)
	turn, err := l.Begin(t.Context(), ledger.Turn{Key: "slow", Text: "text"})
	must(t, err)
	must(t, l.Send(t.Context(), &turn))
	changes, err := l.Fetch(t.Context())
	must(t, err)
	l.Update("slow", func(t *ledger.Turn) { t.State, t.Seq = ledger.Sent, 1 })
	must(t, l.Persist(t.Context(), "slow"))
	l.Place("slow", 1)
	for seq := range int64(100) {
		send(t, l, seq+2)
	}
	l.Merge(changes, 0)
	if got, known := l.Turn("slow"); known {
		t.Errorf("got %+v in memory, want no such turn", got)
	}
	if got, err := l.Past().Turns(t.Context(), 0, 1000); err != nil || len(got) != 101 {
		t.Errorf("got %d turns, %v, want 101", len(got), err)
	}
}

// Two reads overlap, and what the earlier one found is merged last. What the later one found
// stays.
func TestMerge_ReadOvertakenByAnother_NotUndone(t *testing.T) {
	notes := memory.New()
	here, there := open(t, notes, 0), open(t, notes, 0)
	there.BeginPrompt(t.Context(), ledger.Prompt{ID: "p", Seq: 1})
	asked, err := there.StoredPrompt(t.Context(), "p")
	must(t, err)
	here.SetPrompt(asked)
	turn, err := there.Begin(t.Context(), ledger.Turn{Key: "k", Text: "text"})
	must(t, err)
	must(t, there.Send(t.Context(), &turn))
	earlier, err := here.Fetch(t.Context())
	must(t, err)

	there.Update("k", func(t *ledger.Turn) { t.State, t.Seq = ledger.Sent, 2 })
	must(t, there.Persist(t.Context(), "k"))
	must(t, there.Claim(t.Context(), &asked))
	refresh(t, here)
	here.Merge(earlier, 0)
	refresh(t, here)
	if got, _ := here.Turn("k"); got.State != ledger.Sent || got.Seq != 2 {
		t.Errorf("got state %d and seq %d of the turn, want sent and 2", got.State, got.Seq)
	}
	if got, _ := here.Prompt("p"); got.State != ledger.Claimed {
		t.Errorf("got state %d of the prompt, want claimed", got.State)
	}
}

// A read that found more than another, which was merged before it, is merged.
func TestMerge_ReadOfMoreMergedLast_Merged(t *testing.T) {
	notes := memory.New()
	here, there := open(t, notes, 0), open(t, notes, 0)
	send(t, there, 1)
	earlier, err := here.Fetch(t.Context())
	must(t, err)
	send(t, there, 2)
	later, err := here.Fetch(t.Context())
	must(t, err)
	here.Merge(earlier, 0)
	here.Merge(later, 0)
	if got := len(here.Recent()); got != 2 {
		t.Errorf("got %d turns, want 2", got)
	}
}

func TestLedger_Concurrent_Consistent(t *testing.T) {
	notes := memory.New()
	l := open(t, notes, 0)
	var wg sync.WaitGroup
	for worker := range int64(4) {
		wg.Go(func() {
			for i := range int64(100) {
				send(t, l, 1+worker+4*i)
			}
		})
		wg.Go(func() {
			past := l.Past()
			for range 50 {
				if changes, err := l.Fetch(t.Context()); err == nil {
					l.Merge(changes, 0)
				}
				if _, err := past.Turns(t.Context(), 0, 400); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	turns, err := l.Past().Turns(t.Context(), 0, 1000)
	must(t, err)
	if len(turns) != 400 {
		t.Errorf("got %d turns, want 400", len(turns))
	}
	if got := len(l.Recent()); got > 64 {
		t.Errorf("got %d turns in memory, want 64 at most", got)
	}
}

// While the transcript is searched for a turn, its retry is sent.
func TestNeverSend_SentMeanwhile_Refused(t *testing.T) {
	t.Parallel()
	notes := memory.New()
	l := open(t, notes, 0)
	turn, err := l.Begin(t.Context(), ledger.Turn{Key: "k1", Text: "hi", Hash: "h"})
	must(t, err)
	must(t, l.Send(t.Context(), &turn))
	turn.State, turn.Stop = ledger.Unresolved, true
	l.Set(turn)
	must(t, l.Persist(t.Context(), "k1"))
	judged, err := l.Stored(t.Context(), "k1")
	must(t, err)
	must(t, l.Send(t.Context(), &turn))
	if _, err := l.NeverSend(t.Context(), judged); !errors.Is(err, store.ErrConflict) {
		t.Errorf("got %v, want ErrConflict", err)
	}
	turn.State = ledger.Sent
	l.Set(turn)
	must(t, l.Persist(t.Context(), "k1"))
	if now, err := l.Stored(t.Context(), "k1"); err != nil || now.State != ledger.Sent {
		t.Errorf("got state %d, %v, want sent", now.State, err)
	}
}
