package resync

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/anyframe-relay/relay/relay/internal/group"
	"github.com/anyframe-relay/relay/relay/internal/limits"
	"github.com/anyframe-relay/relay/relay/internal/store"
)

const every = 10 * time.Second

// rows is a store that has only the visitors' versions.
type rows struct {
	mu         sync.Mutex
	generation int64
	versions   map[string]int64
	failing    bool
	asked      []int  // number of marks in each call to Changed
	before     func() // called at the beginning of Generation
}

var errAway = errors.New("away")

func (r *rows) Generation(context.Context) (int64, error) {
	if r.before != nil {
		r.before()
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.failing {
		return 0, errAway
	}
	return r.generation, nil
}

func (r *rows) Changed(_ context.Context, marks []store.Mark) (changed []int, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.asked = append(r.asked, len(marks))
	for i, m := range marks {
		if r.versions[m.Visitor] != m.Version {
			changed = append(changed, i)
		}
	}
	return changed, nil
}

// write is a write by another process.
func (r *rows) write(visitor string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.generation++
	r.versions[visitor]++
}

func (r *rows) calls() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.asked)
}

type member struct {
	rows    *rows
	place   Place
	who     limits.Who
	version atomic.Int64
	reread  atomic.Int64 // number of calls
	tended  atomic.Int64
	asked   atomic.Int64
	quiet   time.Duration // until Due must be called again
	due     atomic.Bool
	fail    atomic.Bool
	block   chan struct{} // nil, or what Reread waits for
}

func (m *member) Place() *Place   { return &m.place }
func (m *member) Who() limits.Who { return m.who }
func (m *member) Due() (bool, time.Time) {
	m.asked.Add(1)
	return m.due.Load(), time.Now().Add(m.quiet)
}

func (m *member) Mark() store.Mark {
	return store.Mark{Visitor: m.who.Visitor, Version: m.version.Load(), Notes: -1}
}

func (m *member) Reread(context.Context) error {
	m.reread.Add(1)
	if m.block != nil {
		<-m.block
	}
	if m.fail.Load() {
		return errAway
	}
	m.rows.mu.Lock()
	defer m.rows.mu.Unlock()
	m.version.Store(m.rows.versions[m.who.Visitor])
	return nil
}

func (m *member) Tend(context.Context) { m.tended.Add(1) }

// loop runs a test with a loop in a bubble of its own clock.
func loop(t *testing.T, test func(t *testing.T, l *Loop[*member], r *rows)) {
	synctest.Test(t, func(t *testing.T) {
		var g group.Group
		ctx, cancel := context.WithCancel(t.Context())
		r := &rows{versions: map[string]int64{}}
		l := New(ctx, &g, Options[*member]{Store: r, Every: every, Swept: func([]*member) {}, Log: slog.New(slog.DiscardHandler)})
		defer func() {
			l.Close()
			cancel()
			g.Close()
		}()
		test(t, l, r)
	})
}

func newMember(r *rows, visitor, addr string) *member {
	return &member{rows: r, who: limits.Who{Visitor: visitor, Addr: addr}}
}

// round waits for a whole round.
func round() {
	time.Sleep(every + every/parts)
	synctest.Wait()
}

func TestLoop_NobodyWrites_StoreComparedOnceAMinute(t *testing.T) {
	loop(t, func(t *testing.T, l *Loop[*member], r *rows) {
		const many = 3000
		all := make([]*member, many)
		for i := range all {
			all[i] = newMember(r, fmt.Sprint("v", i), "")
			l.Join(all[i])
		}
		round()
		first := r.calls()
		if got := slices.Max(r.asked); got > maxMarks {
			t.Errorf("got %d marks in a call, want %d at most", got, maxMarks)
		}
		for range 4 {
			round()
		}
		if got := r.calls(); got != first {
			t.Errorf("got %d calls more in four rounds, want none", got-first)
		}
		for range 2 * wholeEvery {
			round()
		}
		if got := r.calls(); got < 2*first || got > 4*first {
			t.Errorf("got %d calls after %d rounds, want %d once in %d rounds", got, 5+2*wholeEvery, first, wholeEvery)
		}
		for _, m := range all {
			l.Leave(m)
			if m.reread.Load() > 0 {
				t.Fatal("got a member read again, want none")
			}
		}
	})
}

func TestLoop_AnotherProcessWrites_OnlyThatMemberRead(t *testing.T) {
	loop(t, func(t *testing.T, l *Loop[*member], r *rows) {
		all := make([]*member, 100)
		for i := range all {
			all[i] = newMember(r, fmt.Sprint("v", i), "")
			l.Join(all[i])
		}
		round()
		for range 3 {
			r.write("v42")
			round()
		}
		for i, m := range all {
			want := int64(0)
			if i == 42 {
				want = 3
			}
			if got := m.reread.Load(); got != want {
				t.Errorf("member %d: got read %d times, want %d", i, got, want)
			}
		}
	})
}

// A member that joins while the others are checked, and whose row another process changes
// right after it was read, is not missed.
func TestLoop_JoinedWhileLooking_ChangeSeenInNextRound(t *testing.T) {
	loop(t, func(t *testing.T, l *Loop[*member], r *rows) {
		late := newMember(r, "late", "")
		var once sync.Once
		r.before = func() {
			once.Do(func() {
				l.Join(late)
				_ = late.Reread(t.Context())
				r.write("late")
			})
		}
		for i := range parts {
			l.Join(newMember(r, fmt.Sprint("v", i), ""))
		}
		round()
		round()
		if got := late.version.Load(); got != 1 {
			t.Errorf("got version %d, want 1", got)
		}
	})
}

func TestLoop_ReadFails_AgainInNextRound(t *testing.T) {
	loop(t, func(t *testing.T, l *Loop[*member], r *rows) {
		m := newMember(r, "v1", "")
		l.Join(m)
		round()
		m.fail.Store(true)
		r.write("v1")
		round()
		round()
		if got := m.reread.Load(); got < 2 || got > 3 {
			t.Errorf("got read %d times in two rounds, want once a round", got)
		}
		m.fail.Store(false)
		round()
		if got := m.version.Load(); got != 1 {
			t.Errorf("got version %d, want 1", got)
		}
		r.mu.Lock()
		r.failing = true
		r.mu.Unlock()
		r.write("v1")
		round()
		r.mu.Lock()
		r.failing = false
		r.mu.Unlock()
		round()
		if got := m.version.Load(); got != 2 {
			t.Errorf("got version %d after the store was away, want 2", got)
		}
	})
}

func TestLoop_Hint_ReadAtOnceAndOnceMore(t *testing.T) {
	loop(t, func(t *testing.T, l *Loop[*member], r *rows) {
		m := newMember(r, "v1", "")
		l.Hint(m) // has not joined
		synctest.Wait()
		if got := m.reread.Load(); got != 0 {
			t.Errorf("got read %d times before it joined, want never", got)
		}
		m.block = make(chan struct{})
		l.Join(m)
		for range 5 {
			l.Hint(m)
			synctest.Wait()
		}
		if got := m.reread.Load(); got != 1 {
			t.Errorf("got read %d times at once, want 1", got)
		}
		close(m.block)
		synctest.Wait()
		if got := m.reread.Load(); got != 2 {
			t.Errorf("got read %d times in all, want once more for what was hinted meanwhile", got)
		}
	})
}

func TestLoop_OneAddressIsSlow_OthersRead(t *testing.T) {
	loop(t, func(t *testing.T, l *Loop[*member], r *rows) {
		answer := make(chan struct{})
		var slow []*member
		for i := range 40 {
			m := newMember(r, fmt.Sprint("slow", i), "203.0.113.1")
			m.block = answer
			slow = append(slow, m)
			l.Join(m)
			l.Hint(m)
		}
		m := newMember(r, "neighbour", "198.51.100.7")
		l.Join(m)
		l.Hint(m)
		synctest.Wait()
		if got := m.reread.Load(); got != 1 {
			t.Errorf("neighbour: got read %d times, want 1", got)
		}
		at := func() (n int64) {
			for _, m := range slow {
				n += m.reread.Load()
			}
			return n
		}
		if got := at(); got != int64(bounds.PerAddr) {
			t.Errorf("got %d of one address read at once, want %d", got, bounds.PerAddr)
		}
		close(answer)
		synctest.Wait()
		if got := at(); got != 40 {
			t.Errorf("got %d of one address read in the end, want all 40", got)
		}
	})
}

func TestLoop_Due_TendedWithoutReading(t *testing.T) {
	loop(t, func(t *testing.T, l *Loop[*member], r *rows) {
		m := newMember(r, "v1", "")
		l.Join(m)
		round()
		m.due.Store(true)
		round()
		if got := m.tended.Load(); got < 1 || m.reread.Load() != 0 {
			t.Errorf("got tended to %d times and read %d times, want only the first", got, m.reread.Load())
		}
	})
}

// A member says when it must be asked again. Only a member that is due, or that something
// happens to, is asked earlier.
func TestLoop_NothingDue_AskedWhenItSaid(t *testing.T) {
	loop(t, func(t *testing.T, l *Loop[*member], r *rows) {
		all := make([]*member, 2*parts+1)
		for i := range all {
			all[i] = newMember(r, fmt.Sprint("v", i), "")
			all[i].quiet = 5 * every
			l.Join(all[i])
		}
		round()
		l.Leave(all[0]) // another takes its place in the part
		all = all[1:]
		changed, due, hinted, others := all[2], all[3], all[4], slices.Concat(all[:2], all[5:])
		due.due.Store(true)
		l.Check(due)
		l.Check(changed)
		l.Hint(hinted)
		counts := func(of []*member) (total int64) {
			for _, m := range of {
				total += m.asked.Load()
			}
			return total
		}
		was, hintedWas := counts(others), hinted.asked.Load()
		for range 3 {
			time.Sleep(every)
		}
		synctest.Wait()
		if got := counts(others); got != was {
			t.Errorf("got %d members asked %d times while nothing happened, want not at all", len(others), got-was)
		}
		if got := changed.asked.Load(); got != 2 {
			t.Errorf("the one that was changed: got asked %d times, want when it joined and after the change", got)
		}
		if got := due.tended.Load(); got < 3 {
			t.Errorf("the one that is due: got tended %d times, want in each round", got)
		}
		if got := hinted.asked.Load() - hintedWas; got != 2 {
			t.Errorf("the one that was read again: got asked %d times, want after the read and in the next round", got)
		}
		for range 4 {
			time.Sleep(every)
		}
		synctest.Wait()
		if got := counts(others); got != was+int64(len(others)) {
			t.Errorf("got %d members asked %d times after the time they said, want once each", len(others), got-was)
		}
	})
}

// Nothing runs for members that have left.
func TestLoop_AllLeft_NoTimer(t *testing.T) {
	loop(t, func(t *testing.T, l *Loop[*member], r *rows) {
		m, n := newMember(r, "v1", ""), newMember(r, "v2", "")
		for range 2 {
			l.Join(m)
		}
		l.Join(n)
		l.Leave(m)
		r.write("v1")
		round()
		if got := m.reread.Load(); got != 1 {
			t.Errorf("got read %d times, want once: it has joined twice and left once", got)
		}
		l.Leave(m)
		l.Leave(n)
		round()
		calls := r.calls()
		r.write("v1")
		round()
		l.mu.Lock()
		defer l.mu.Unlock()
		if l.timer != nil || r.calls() != calls || m.reread.Load() != 1 {
			t.Error("got a look without members, want the loop at rest")
		}
	})
}
