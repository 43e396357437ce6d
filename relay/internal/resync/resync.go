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
	// parts is how many parts the members are divided into. The parts are checked one
	// after the other, to spread work and calls over the round.
	parts = 10
	// wholeEvery is after how many rounds each member's mark is compared even if no other
	// process has written, because rows also expire.
	wholeEvery = 6
	// maxMarks is the maximum number of marks per call to the store.
	maxMarks = 512

	storeTimeout = 5 * time.Second
)

// bounds limit how many members are read from the store at once, and how many are tended
// at once.
var bounds = limits.Bounds{Total: 32, PerVisitor: 1, PerAddr: 8, PerNetwork: 16}

// Member is a session as the package sees it. For each member, Reread and Tend are each
// called by one goroutine at a time, but may run concurrently with each other. Only Who
// and Place are called with the Loop's lock held.
type Member interface {
	comparable

	// Place returns the member's place in the Loop, always the same one.
	Place() *Place
	// Who returns the party that reads of the member are accounted to.
	Who() limits.Who
	// Mark returns the versions of the member's rows that this process has.
	Mark() store.Mark
	// Due reports whether the member needs Tend for a reason that no row of the store
	// shows. It makes no call.
	Due() bool
	// Reread reads the member's rows, because they have changed since Mark, or may have.
	// If it fails, it is called again in the next round.
	Reread(ctx context.Context) error
	// Tend does what is due.
	Tend(ctx context.Context)
}

// Place is a member's position in a [Loop]. The zero value is ready to use.
type Place struct {
	joined int // number of Joins minus Leaves
	part   int
	index  int  // in the part, while joined > 0
	stale  bool // must be read again; it is then in Loop.stale
	failed bool // the last read failed, and is retried in the next round
}

// Options configures a Loop.
type Options[M Member] struct {
	Store store.ChangeStore
	// Every is the interval at which each member is checked.
	Every time.Duration
	// Swept is called with the members of a part after each check of them.
	Swept func(members []M)
	Log   *slog.Logger
}

// Loop checks its members periodically. It has neither goroutine nor timer while it has
// no members. Create one with [New].
type Loop[M Member] struct {
	Options[M]

	ctx     context.Context
	members *group.Group
	reading *limits.Share // a slot for each member that is being read again
	tending *limits.Share // a slot for each member that is being tended

	mu     sync.Mutex // keeps the members' places consistent with the fields below
	parts  [parts]part[M]
	next   int // the part that the next Join adds to
	stale  []M // to be read again, oldest first
	timer  *time.Timer
	closed bool
}

// part is a share of the members.
type part[M Member] struct {
	members []M

	// These describe the last check of all marks: the store's generation before it, and
	// when it began. Only the tick uses them, and ticks do not overlap.
	generation int64
	looked     time.Time
}

// New returns a Loop whose goroutines are members of g. Its calls end with ctx.
func New[M Member](ctx context.Context, g *group.Group, o Options[M]) *Loop[M] {
	return &Loop[M]{Options: o, ctx: ctx, members: g, reading: limits.NewShare(bounds), tending: limits.NewShare(bounds)}
}

// Join adds the member until Leave has been called as often as Join. The member must read
// and write its rows in the store only after Join.
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

// Hint has a member read again immediately, if it has joined.
func (l *Loop[M]) Hint(m M) {
	l.mu.Lock()
	l.distrust(m)
	l.mu.Unlock()
	l.work()
}

// Close stops the Loop. Work in progress belongs to the group.
func (l *Loop[M]) Close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed = true
	if l.timer != nil {
		l.timer.Stop()
	}
}

// distrust marks a member to be read again. The caller holds mu.
func (l *Loop[M]) distrust(m M) {
	if p := m.Place(); p.joined > 0 && !p.stale {
		p.stale = true
		l.stale = append(l.stale, m)
	}
}

// arm schedules the tick of a part. The caller holds mu.
func (l *Loop[M]) arm(part int) {
	l.timer = time.AfterFunc(l.Every/parts, func() { l.tick(part) })
}

// tick checks one part of the members, and schedules the next part's tick while there are
// any members.
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

// look has the members of a part read again that other processes have changed, and tends
// those that are due.
func (l *Loop[M]) look(p *part[M]) {
	begun := time.Now()
	ctx, cancel := context.WithTimeout(l.ctx, storeTimeout)
	defer cancel()
	// The generation must be read first. A member that joins after the others are listed
	// reads its rows after that, so any later write of another process raises the
	// generation.
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
	if err != nil { // they are checked again in the next round
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

// compare finds the members whose marks have changed.
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

// tend tends a member in a goroutine of its own. Without a free slot it does nothing: the
// member is still due in the next round.
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

// work reads the stale members for which there are slots. Each slot that becomes free
// takes the next one.
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

// take removes the first stale member for which there is a slot, with the slot. A member
// without a slot does not block others.
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
