package resync

import (
	"errors"
	"slices"

	"github.com/anyframe-relay/relay/relay/internal/limits"
)

// distrust marks a member to be read again. The caller holds mu.
func (l *Loop[M]) distrust(m M) {
	if p := m.Place(); p.joined > 0 && !p.stale {
		p.stale = true
		l.stale = append(l.stale, m)
	}
}

// failed has a member read again in the next round.
func (l *Loop[M]) failed(m M) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if p := m.Place(); p.joined > 0 && !p.failed {
		p.failed = true
		at := &l.parts[p.part]
		at.failed = append(at.failed, m)
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
				l.failed(m)
			} else if due, _ := m.Due(); due {
				l.tend(m)
			}
			l.Check(m)
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
