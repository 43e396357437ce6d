package resync

import (
	"context"
	"log/slog"
	"math"
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
	// shows. It makes no call. Again is when it must be called again, unless
	// [Loop.Check] has it called earlier; the zero time is the next round.
	Due() (due bool, again time.Time)
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
	failed bool // the last read failed, and is retried in the next round; it is then in part.failed
}

// Options configures a Loop.
type Options[M Member] struct {
	Store store.ChangeStore
	// Every is the interval at which each member is checked.
	Every time.Duration
	// Swept is called with the members whose Due is called next.
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

// part is a share of the members. Most rounds need nothing of most members. What they
// need of them is kept here, in one piece: reading it from the memory of thousands of
// members that were not used for a while would be most of the work.
type part[M Member] struct {
	members []M
	again   []int64 // for each member, when Due must be called, in Unix nanoseconds; asking while it is called
	failed  []M     // to be read again in the next round

	// These describe the last check of all marks: the store's generation before it, and
	// when it began. Only the tick uses them, and ticks do not overlap.
	generation int64
	looked     time.Time
}

// asking is a part's again while Due is called.
const asking = math.MaxInt64

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
	at.members, at.again = append(at.members, m), append(at.again, 0)
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
	at.members[p.index], at.again[p.index] = at.members[last], at.again[last]
	at.members[p.index].Place().index = p.index
	at.members[last] = none
	at.members, at.again = at.members[:last], at.again[:last]
	if p.stale {
		p.stale = false
		i := slices.Index(l.stale, m)
		l.stale = slices.Delete(l.stale, i, i+1)
	}
	if p.failed {
		p.failed = false
		i := slices.Index(at.failed, m)
		at.failed = slices.Delete(at.failed, i, i+1)
	}
}

// Check has a member's Due called in the next round, if the member has joined.
func (l *Loop[M]) Check(m M) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if p := m.Place(); p.joined > 0 {
		l.parts[p.part].again[p.index] = 0
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
	var ask []M
	for i, again := range p.again {
		if again <= begun.UnixNano() {
			p.again[i] = asking
			ask = append(ask, members[i])
		}
	}
	for _, m := range p.failed {
		m.Place().failed = false
		l.distrust(m)
	}
	p.failed = nil
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
	l.Swept(ask)
	for _, m := range ask {
		due, again := m.Due()
		if due {
			l.tend(m)
			again = time.Time{}
		}
		l.asked(m, again)
	}
}

// asked records when Due must be called again, unless Check was called since.
func (l *Loop[M]) asked(m M, again time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	p := m.Place()
	if p.joined == 0 || l.parts[p.part].again[p.index] != asking {
		return
	}
	next := int64(0)
	if again.After(time.Now()) {
		next = again.UnixNano()
	}
	l.parts[p.part].again[p.index] = next
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
