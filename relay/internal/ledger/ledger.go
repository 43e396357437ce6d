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

// Ledger is the memory's copy of one epoch's notes. It is safe for concurrent use.
type Ledger struct {
	notes   store.NoteStore
	visitor string
	epoch   int64
	ttl     time.Duration // how long a note is kept from its last change
	log     *slog.Logger
	base    int64 // the conversation's log begins after this seq

	// saving has one slot: its holder writes one note as memory has it, so that the
	// store's version of a note is never older than one it had before.
	saving chan struct{}

	// quiet is true while no turn is in flight and no prompt is open, so that an
	// event needs no look at either. unshown counts the turns that the live stream
	// has yet to show. Both are written under mu.
	quiet   atomic.Bool
	unshown atomic.Int64

	mu           sync.Mutex // what follows is one consistent picture of the notes
	turns        []*Turn    // in the order they were entered
	byKey        map[string]*Turn
	bySeq        map[int64]*Turn // Sent, and of a seq that is known
	byPlace      []*Turn         // Sent, in the order of their places
	open         few[*Turn]
	pending      few[*Turn] // Sent and to be shown by the live stream, unless AnyFrame does
	prompts      few[*Prompt]
	promptOrder  []*Prompt    // in the order they were opened
	waiting      few[*Prompt] // not Settled
	ends         ends
	kept         kept
	turnCursor   int64 // of the store: its changes up to there are known
	promptCursor int64
	newest       mark          // the last turn that this process has stored
	changed      chan struct{} // closed at the next change of a turn; nil while no goroutine waits
	// echoes: AnyFrame has shown one of our messages before or without telling
	// its seq. It shows the others too then, and the relay need not.
	echoes bool
}

// Options are what the ledgers of a process have in common.
type Options struct {
	Notes store.NoteStore
	// TTL is how long a note is kept from its last change.
	TTL time.Duration
}

// New returns an empty ledger for an epoch whose log begins after the event
// numbered base. Log is told of what could not be stored.
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

// few is a map by key that is empty nearly always. Then it takes no memory, which an
// empty map that had something does.
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

// Epoch returns which of the visitor's epochs the ledger is about.
func (l *Ledger) Epoch() int64 { return l.epoch }

// Quiet reports whether no turn is in flight here and no prompt waits for an
// answer, so that an event can neither be the answer to the one nor settle the other.
func (l *Ledger) Quiet() bool { return l.quiet.Load() }

// AllShown reports whether the live stream has no turn left to show.
func (l *Ledger) AllShown() bool { return l.unshown.Load() == 0 }

// Set puts a turn in, or puts a newer state of it in its place.
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

// Update changes a turn that is known, and returns it as it is then.
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

// set is Set for a caller who holds mu and wakes.
func (l *Ledger) set(t Turn) {
	p, known := l.byKey[t.Key]
	if known {
		// What was shown stays so, whatever copy of the turn its sender goes by.
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

// index enters a turn where it is looked for. The caller holds mu.
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

// unindex undoes index. The caller holds mu, and has not changed the turn since.
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

// count brings quiet and unshown up to date. The caller holds mu.
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

// needless reports whether a turn need not be shown by the relay while its event
// may still come: AnyFrame did not name its seq, and shows messages.
func (l *Ledger) needless(t *Turn) bool { return l.echoes && t.Seq == 0 }
