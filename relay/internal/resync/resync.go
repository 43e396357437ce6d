package resync

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/anyframe-relay/relay/relay/internal/group"
	"github.com/anyframe-relay/relay/relay/internal/limits"
	"github.com/anyframe-relay/relay/relay/internal/store"
)

const (
	// parts is in how many parts the members are looked at, one after the other, so that
	// work and calls are spread over the round.
	parts = 10
	// wholeEvery is in how many rounds each member's mark is compared though no other
	// process has written: rows also expire.
	wholeEvery = 6
	// maxMarks bounds how many marks one call to the store carries.
	maxMarks = 512

	storeTimeout = 5 * time.Second
)

// bounds bound how many members are read from the store again at once, and how many are
// tended to.
var bounds = limits.Bounds{Total: 32, PerVisitor: 1, PerAddr: 8, PerNetwork: 16}

// Member is a session as the package sees it. Reread and Tend are each called by one
// goroutine at a time for each member, but one may be called while the other is under way.
// None is called while the Loop's lock is held but Who and Place.
type Member interface {
	comparable

	// Place returns the member's place in the Loop, always the same one.
	Place() *Place
	// Who returns on whose account the member is read.
	Who() limits.Who
	// Mark returns what this process knows of the member's rows.
	Mark() store.Mark
	// Due reports whether something of the member's is to be looked at that no row of
	// the store tells. It makes no call.
	Due() bool
	// Reread reads the member's rows, because they are no longer as Mark says, or may
	// not be. If it fails, it is called again in the next round.
	Reread(ctx context.Context) error
	// Tend looks at what is due.
	Tend(ctx context.Context)
}

// Place is where a member stands in a [Loop]. The zero value is ready.
type Place struct {
	joined int // Joins less Leaves
	part   int
	index  int  // in the part, while joined > 0
	stale  bool // to be read again; it is in Loop.stale then
	failed bool // the last read failed, and is retried in the next round
}

// Options are what a Loop needs.
type Options[M Member] struct {
	Store store.ChangeStore
	// Every is how often each member is looked at.
	Every time.Duration
	// Swept is called with the members of a part after each look at them.
	Swept func(members []M)
	Log   *slog.Logger
}

// Loop looks at its members again and again. It has neither goroutine nor timer while it
// has no members. Create one with [New].
type Loop[M Member] struct {
	Options[M]

	ctx     context.Context
	members *group.Group
	reading *limits.Share // a slot for each member that is read again
	tending *limits.Share // and for each that is tended to

	mu     sync.Mutex // every member's place agrees with these
	parts  [parts]part[M]
	next   int // the part that joins grow
	stale  []M // to be read again, in the order in which that was found out
	timer  *time.Timer
	closed bool
}

// part is a share of the members.
type part[M Member] struct {
	members []M

	// Of the last look at all marks: the store's generation before it, and when it was
	// begun. Only the tick uses these; there is one at a time.
	generation int64
	looked     time.Time
}

// New returns a Loop whose goroutines are members of g. Its calls end with ctx.
func New[M Member](ctx context.Context, g *group.Group, o Options[M]) *Loop[M] {
	return &Loop[M]{Options: o, ctx: ctx, members: g, reading: limits.NewShare(bounds), tending: limits.NewShare(bounds)}
}

// Join has the member looked at until Leave has been called as often as Join. What it
// does to the store's rows, and what it reads there, it does after Join.
func (l *Loop[M]) Join(m M) {
	l.mu.Lock()
	defer l.mu.Unlock()
	p := m.Place()
	if p.joined++; p.joined > 1 {
		return
	}
	p.part = l.next
	l.next = (l.next + 1) % parts
	at := &l.parts[p.part]
	p.index = len(at.members)
	at.members = append(at.members, m)
	if l.timer == nil && !l.closed {
		l.arm(0)
	}
}

// Leave undoes one Join.
func (l *Loop[M]) Leave(m M) {
	l.mu.Lock()
	defer l.mu.Unlock()
	p := m.Place()
	if p.joined--; p.joined > 0 {
		return
	}
	var none M
	at := &l.parts[p.part]
	last := len(at.members) - 1
	at.members[p.index] = at.members[last]
	at.members[p.index].Place().index = p.index
	at.members[last] = none
	at.members = at.members[:last]
	if p.stale {
		p.stale = false
		i := slices.Index(l.stale, m)
		l.stale = slices.Delete(l.stale, i, i+1)
	}
}

// Hint has a member read again at once, if it has joined.
func (l *Loop[M]) Hint(m M) {
	l.mu.Lock()
	l.distrust(m)
	l.mu.Unlock()
	l.work()
}

// Close ends the Loop. What is under way is the group's.
func (l *Loop[M]) Close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed = true
	if l.timer != nil {
		l.timer.Stop()
	}
}

// distrust enters a member among those to be read again. The caller holds mu.
func (l *Loop[M]) distrust(m M) {
	if p := m.Place(); p.joined > 0 && !p.stale {
		p.stale = true
		l.stale = append(l.stale, m)
	}
}

// arm lets the tick of a part come. The caller holds mu.
func (l *Loop[M]) arm(part int) {
	l.timer = time.AfterFunc(l.Every/parts, func() { l.tick(part) })
}

// tick looks at one part of the members, and lets the next part's tick come while there
// are any.
func (l *Loop[M]) tick(part int) {
	if !l.members.Add() {
		return
	}
	defer l.members.Done()
	l.look(&l.parts[part])
	l.mu.Lock()
	defer l.mu.Unlock()
	l.timer = nil
	if l.closed {
		return
	}
	for i := range l.parts {
		if len(l.parts[i].members) > 0 {
			l.arm((part + 1) % parts)
			return
		}
	}
}

// look has those members of a part read again that other processes have changed, and
// those tended to that are due.
func (l *Loop[M]) look(p *part[M]) {
	begun := time.Now()
	ctx, cancel := context.WithTimeout(l.ctx, storeTimeout)
	defer cancel()
	// The generation comes first. A member that joins after the others are listed reads
	// its rows after that; whatever another process writes then raises the generation.
	generation, err := l.Store.Generation(ctx)
	l.mu.Lock()
	members := slices.Clone(p.members)
	for _, m := range members {
		if at := m.Place(); at.failed {
			at.failed = false
			l.distrust(m)
		}
	}
	l.mu.Unlock()
	if err == nil && (generation != p.generation || begun.Sub(p.looked) >= wholeEvery*l.Every) {
		if err = l.compare(ctx, members); err == nil {
			p.generation, p.looked = generation, begun
		}
	}
	if err != nil { // they are asked about with the next round
		l.Log.Debug("failed to look for changes in the store", "error", err)
	}
	l.work()
	for _, m := range members {
		if m.Due() {
			l.tend(m)
		}
	}
	l.Swept(members)
}

// compare finds out which members' marks no longer hold.
func (l *Loop[M]) compare(ctx context.Context, members []M) error {
	marks := make([]store.Mark, 0, min(len(members), maxMarks))
	for some := range slices.Chunk(members, maxMarks) {
		marks = marks[:0]
		for _, m := range some {
			marks = append(marks, m.Mark())
		}
		changed, err := l.Store.Changed(ctx, marks)
		if err != nil {
			return err
		}
		l.mu.Lock()
		for _, i := range changed {
			l.distrust(some[i])
		}
		l.mu.Unlock()
	}
	return nil
}

// tend tends to a member in a goroutine of its own. If there is no slot for that, it does
// nothing: the member is still due in the next round.
func (l *Loop[M]) tend(m M) {
	who := m.Who()
	if l.tending.Take(who, 1) != nil {
		return
	}
	begun := l.members.Go(func() {
		defer l.tending.Give(who, 1)
		m.Tend(l.ctx)
	})
	if !begun {
		l.tending.Give(who, 1)
	}
}

// work reads again those members that there are slots for. As soon as a slot is free, the
// next follows.
func (l *Loop[M]) work() {
	for {
		m, who, ok := l.take()
		if !ok {
			return
		}
		begun := l.members.Go(func() {
			err := m.Reread(l.ctx)
			l.reading.Give(who, 1)
			if err != nil {
				l.mu.Lock()
				m.Place().failed = true
				l.mu.Unlock()
			} else if m.Due() {
				l.tend(m)
			}
			l.work()
		})
		if !begun {
			l.reading.Give(who, 1)
			return
		}
	}
}

// take takes out the first of the members to be read again that there is a slot for, with
// the slot. A member that has no slot left holds up no other.
func (l *Loop[M]) take() (m M, who limits.Who, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for i, m := range l.stale {
		who := m.Who()
		if full, none := errors.AsType[*limits.Full](l.reading.Take(who, 1)); none {
			if full.Bound == limits.OfAll {
				break
			}
			continue
		}
		l.stale = slices.Delete(l.stale, i, i+1)
		m.Place().stale = false
		return m, who, true
	}
	return m, who, false
}
