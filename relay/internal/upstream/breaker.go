package upstream

import (
	"slices"
	"sync"
	"time"
)

const (
	breakerVisitors = 3               // and as many networks
	breakerWindow   = time.Minute     // period in which their calls fail
	breakerInRow    = 5               // failures of any visitors until GET /api/me is called
	breakerOpenFor  = 5 * time.Second // until GET /api/me is tried
)

// breaker decides whether AnyFrame is down for all visitors.
type breaker struct {
	changed func(open bool) // called with mu held
	now     func() time.Time

	mu     sync.Mutex // makes each decision atomic
	open   bool
	trial  time.Time // when the next call may test whether AnyFrame has recovered
	rows   []failure // at most one for each operation and visitor, and for each operation and network
	inRow  int       // failures since the last success
	asked  time.Time // when consecutive failures last led to a GET /api/me
	lostAt time.Time // when a connection was lost, zero after a success
}

// failure is the last failure of one visitor's calls of one kind.
type failure struct {
	op, visitor, network string
	at                   time.Time
}

// allow reports whether a call may be made. With try, the caller must first test whether
// AnyFrame has recovered.
func (b *breaker) allow() (ok, try bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := b.now()
	if !b.open {
		return true, false
	}
	if now.Before(b.trial) {
		return false, false
	}
	b.trial = now.Add(breakerOpenFor)
	return false, true
}

// isOpen reports whether calls are refused.
func (b *breaker) isOpen() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.open
}

// succeeded records that AnyFrame has answered a call.
func (b *breaker) succeeded(op string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.inRow, b.lostAt = 0, time.Time{}
	b.rows = slices.DeleteFunc(b.rows, func(f failure) bool { return f.op == op })
	if op == opMe && b.open {
		b.open, b.rows = false, nil
		b.changed(false)
	}
}

// failed records that a call has failed. It reports whether the caller should call GET
// /api/me.
func (b *breaker) failed(op, visitor, network string) (ask bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.fail(op, visitor, network)
}

// lost records the loss of a connection, made at the given time, on which AnyFrame had
// answered nothing. It counts as a failure only if another connection had been lost
// before this one was made: then AnyFrame keeps losing connections, instead of having
// lost those of one moment.
func (b *breaker) lost(op, visitor, network string, made time.Time) (ask bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.lostAt.IsZero() || made.Before(b.lostAt) {
		b.noteLost()
		return false
	}
	return b.fail(op, visitor, network)
}

// lostUsed records the loss of a connection that had served earlier calls.
func (b *breaker) lostUsed() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.noteLost()
}

func (b *breaker) noteLost() {
	if b.lostAt.IsZero() {
		b.lostAt = b.now()
	}
}

func (b *breaker) fail(op, visitor, network string) (ask bool) {
	now := b.now()
	b.note(failure{op, visitor, network, now})
	b.inRow++
	switch {
	case op == opMe, b.everybodys():
		b.trial = now.Add(breakerOpenFor)
		if !b.open {
			b.open = true
			b.changed(true)
		}
	case !b.open && b.inRow >= breakerInRow && now.Sub(b.asked) >= breakerOpenFor:
		b.asked = now
		return true
	}
	return false
}

// note adds f to the failures within the window.
func (b *breaker) note(f failure) {
	b.rows = slices.DeleteFunc(b.rows, func(g failure) bool { return f.at.Sub(g.at) > breakerWindow })
	if f.visitor == "" || f.network == "" {
		return
	}
	for i, g := range b.rows {
		if g.op == f.op && (g.visitor == f.visitor || g.network == f.network) {
			b.rows[i].at = f.at
			return
		}
	}
	b.rows = append(b.rows, f)
}

// everybodys reports whether enough visitors on enough networks are among the failures.
func (b *breaker) everybodys() bool {
	visitors, networks := map[string]bool{}, map[string]bool{}
	for _, f := range b.rows {
		if !visitors[f.visitor] && !networks[f.network] {
			visitors[f.visitor], networks[f.network] = true, true
		}
	}
	return len(visitors) >= breakerVisitors
}
