package ledger

import (
	"cmp"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/anyframe-relay/relay/relay/internal/store"
)

// Ledger is an in-memory copy of one epoch's notes. It is safe for concurrent use.
type Ledger struct {
	notes   store.NoteStore
	visitor string
	epoch   int64
	ttl     time.Duration // of a note, from its last change
	log     *slog.Logger
	base    int64 // the seq after which the conversation's log begins

	// saving is a slot for one holder, which writes a note as it is in memory. It keeps
	// an older state of a note from overwriting a newer one in the store.
	saving chan struct{}

	// quiet is true while no turn is in flight and no prompt is open, so that an event
	// needs to check neither. unshown counts the turns that the live stream has yet to
	// show. Both are written under mu.
	quiet   atomic.Bool
	unshown atomic.Int64

	mu           sync.Mutex // guards the fields below, which together are a consistent view of the notes
	turns        []*Turn    // in the order they were entered
	byKey        map[string]*Turn
	bySeq        map[int64]*Turn // Sent, with a known seq
	byPlace      []*Turn         // Sent, in the order of their places
	open         few[*Turn]
	pending      few[*Turn] // Sent, and to be shown by the live stream unless AnyFrame shows them
	prompts      few[*Prompt]
	promptOrder  []*Prompt    // in the order they were opened
	waiting      few[*Prompt] // not Settled
	ends         ends
	kept         kept
	turnCursor   int64 // of the store: changes up to there have been read
	promptCursor int64
	newest       mark          // the last turn that this process has stored
	changed      chan struct{} // closed at the next change of a turn; nil while no goroutine waits
	// echoes: AnyFrame has shown one of our messages before its seq was returned, or
	// without returning one. It then also shows the others, and the relay need not.
	echoes bool
}

// Options are the settings that all ledgers of a process share.
type Options struct {
	Notes store.NoteStore
	// TTL is how long a note is kept after its last change.
	TTL time.Duration
}

// New returns an empty ledger for an epoch whose log begins after the event numbered
// base. Failed writes are logged to log.
func New(o Options, visitor string, epoch, base int64, log *slog.Logger) *Ledger {
	l := &Ledger{
		kept:  kept{turns: base, prompts: base, highest: -1, gone: -1},
		ends:  ends{from: base},
		notes: o.Notes, visitor: visitor, epoch: epoch, ttl: o.TTL, log: log, base: base, saving: make(chan struct{}, 1),
		byKey: map[string]*Turn{}, bySeq: map[int64]*Turn{},
	}
	l.quiet.Store(true)
	return l
}

// few is a map that is nearly always empty. It is nil when empty, because a map that once
// had entries keeps its memory.
type few[V any] map[string]V

func (f *few[V]) put(key string, v V) {
	if *f == nil {
		*f = few[V]{}
	}
	(*f)[key] = v
}

func (f *few[V]) drop(key string) {
	if delete(*f, key); len(*f) == 0 {
		*f = nil
	}
}

// Epoch returns the epoch of the ledger.
func (l *Ledger) Epoch() int64 { return l.epoch }

// Quiet reports whether no turn of this process is in flight and no prompt is open. If
// so, an event can neither answer a turn nor settle a prompt.
func (l *Ledger) Quiet() bool { return l.quiet.Load() }

// AllShown reports whether the live stream has no turn left to show.
func (l *Ledger) AllShown() bool { return l.unshown.Load() == 0 }

// Set adds a turn or replaces it with a newer state.
func (l *Ledger) Set(t Turn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if old := l.byKey[t.Key]; old != nil && old.here && t.here {
		t.version = old.version // it may have been stored since t was read
	}
	t.dirty = true
	l.set(t)
	l.wake()
}

// Update changes a known turn and returns its new state.
func (l *Ledger) Update(key string, change func(*Turn)) (Turn, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	old, ok := l.byKey[key]
	if !ok {
		return Turn{}, false
	}
	t := *old
	change(&t)
	t.dirty = true
	l.set(t)
	l.wake()
	return t, true
}

// wake wakes the goroutines that wait for a change. The caller holds mu.
func (l *Ledger) wake() {
	if l.changed != nil {
		close(l.changed)
		l.changed = nil
	}
}

// set is Set for a caller that holds mu and calls wake.
func (l *Ledger) set(t Turn) {
	p, known := l.byKey[t.Key]
	if known {
		// A turn that was shown stays shown, even if its sender's copy is older.
		t.shown, t.echoed, t.order = t.shown || p.shown, t.echoed || p.echoed, p.order
		t.Stop = t.Stop || p.Stop
		l.unindex(p)
		l.kept.text -= len(p.Text)
		t.revision = p.revision + 1
		*p = t
	} else {
		p = &t
		l.kept.entered++
		p.order = l.kept.entered
		l.byKey[t.Key] = p
		l.turns = append(l.turns, p)
	}
	l.kept.text += len(p.Text)
	l.trimText(p)
	l.index(p)
	l.forget()
	l.count()
}

// index adds a turn to the indexes. The caller holds mu.
func (l *Ledger) index(t *Turn) {
	if t.unplaced() {
		l.open.put(t.Key, t)
	}
	if t.State != Sent {
		return
	}
	if t.Seq != 0 {
		l.bySeq[t.Seq] = t
	}
	l.kept.highest = max(l.kept.highest, t.Place())
	i, _ := slices.BinarySearchFunc(l.byPlace, t.Place()+1, byPlace) // behind those of the same place
	l.byPlace = slices.Insert(l.byPlace, i, t)
	if l.awaits(t) {
		l.pending.put(t.Key, t)
	}
}

// unindex undoes index. The caller holds mu and has not changed the turn since.
func (l *Ledger) unindex(t *Turn) {
	l.open.drop(t.Key)
	l.pending.drop(t.Key)
	if t.State != Sent {
		return
	}
	if l.bySeq[t.Seq] == t {
		delete(l.bySeq, t.Seq)
	}
	i, _ := slices.BinarySearchFunc(l.byPlace, t.Place(), byPlace)
	for ; i < len(l.byPlace); i++ {
		if l.byPlace[i] == t {
			l.byPlace = slices.Delete(l.byPlace, i, i+1)
			return
		}
	}
}

func byPlace(t *Turn, place int64) int { return cmp.Compare(t.Place(), place) }

// count updates quiet and unshown. The caller holds mu.
func (l *Ledger) count() {
	quiet := len(l.waiting) == 0
	for _, t := range l.open {
		quiet = quiet && !t.State.inFlight()
	}
	l.quiet.Store(quiet)
	n := int64(0)
	for _, t := range l.pending {
		if !l.needless(t) {
			n++
		}
	}
	l.unshown.Store(n)
}

// needless reports whether the relay need not show a turn while its event may still
// arrive: AnyFrame returned no seq for it, and shows messages.
func (l *Ledger) needless(t *Turn) bool { return l.echoes && t.Seq == 0 }
