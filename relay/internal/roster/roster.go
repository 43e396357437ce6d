// Package roster keeps one object per visitor in memory while it is needed, and for a
// while afterwards, so that concurrent requests of a visitor use the same object. It
// counts the holders. It does not depend on what a member is or does.
package roster

import (
	"maps"
	"slices"
	"sync"
	"time"
)

// Member is what a [Roster] holds, one per name.
type Member interface {
	comparable

	// Entry returns the member's entry in the roster, always the same one.
	Entry() *Entry
	// Works reports whether the member must be kept although no caller holds it. It is
	// called without the roster's lock.
	Works() bool
	// Kept is called, without the lock, when the member was kept for that reason.
	Kept()
	// Dropped is called, without the lock, when the roster has dropped a member that no
	// caller held.
	Dropped()
}

// Entry is a member's state in a [Roster]. The zero value is ready to use.
type Entry struct {
	name      string
	holders   int
	listeners int
	idle      *time.Timer // until it is dropped; nil while it has a holder
}

// Options configures a Roster. The functions are called with the roster's lock held.
type Options[M Member] struct {
	// Linger is how long a member stays after its last holder has released it.
	Linger time.Duration
	// New creates the member of a name.
	New func(name string) M
	// Held is called when a member gets its first holder, and Free when it loses its
	// last.
	Held, Free func(M)
	// Size is called with the number of members when that changes.
	Size func(n int)
}

// Roster holds members by name. Create one with [New].
type Roster[M Member] struct {
	Options[M]

	mu      sync.Mutex // guards the members and their holders
	closed  bool
	members map[string]M
}

// New returns a roster without members.
func New[M Member](o Options[M]) *Roster[M] {
	return &Roster[M]{Options: o, members: map[string]M{}}
}

// Hold returns the member of a name, which stays until [Roster.Release] has been called
// as often as Hold. It returns false once the roster is closed.
func (r *Roster[M]) Hold(name string) (m M, ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return m, false
	}
	m, ok = r.members[name]
	if !ok {
		m = r.New(name)
		m.Entry().name = name
		r.members[name] = m
		r.Size(len(r.members))
	}
	e := m.Entry()
	if e.holders++; e.holders == 1 {
		r.Held(m)
	}
	if e.idle != nil {
		e.idle.Stop()
		e.idle = nil
	}
	return m, true
}

// Release undoes one Hold.
func (r *Roster[M]) Release(m M) {
	r.mu.Lock()
	defer r.mu.Unlock()
	e := m.Entry()
	if e.holders--; e.holders > 0 {
		return
	}
	r.Free(m)
	if !r.closed {
		r.dropLater(m)
	}
}

func (r *Roster[M]) dropLater(m M) {
	m.Entry().idle = time.AfterFunc(r.Linger, func() { r.drop(m) })
}

// drop drops a member that no caller holds, unless it works.
func (r *Roster[M]) drop(m M) {
	works := m.Works()
	r.mu.Lock()
	if m.Entry().holders > 0 || r.closed {
		r.mu.Unlock()
		return
	}
	if works {
		r.dropLater(m)
		r.mu.Unlock()
		m.Kept()
		return
	}
	if r.members[m.Entry().name] == m {
		delete(r.members, m.Entry().name)
		r.Size(len(r.members))
	}
	r.mu.Unlock()
	m.Dropped()
}

// Get returns the member of a name if there is one, without holding it.
func (r *Roster[M]) Get(name string) (m M, ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	m, ok = r.members[name]
	return m, ok
}

// Remove removes the member of a name immediately and returns it; the next Hold of that
// name creates another. Callers that hold the removed member keep it.
func (r *Roster[M]) Remove(name string) (m M, ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if m, ok = r.members[name]; ok {
		delete(r.members, name)
		r.Size(len(r.members))
	}
	return m, ok
}

// All returns the members.
func (r *Roster[M]) All() []M {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Collect(maps.Values(r.members))
}

// Listen adds n to the listeners of a member, and reports whether it has got its first
// listener or lost its last one.
func (r *Roster[M]) Listen(m M, n int) (edge bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	e := m.Entry()
	was := e.listeners
	e.listeners += n
	return was == 0 || e.listeners == 0
}

// Listeners returns the number of listeners of a member.
func (r *Roster[M]) Listeners(m M) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return m.Entry().listeners
}

// Close refuses new holders. Members are no longer dropped.
func (r *Roster[M]) Close() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.closed = true
	for _, m := range r.members {
		if idle := m.Entry().idle; idle != nil {
			idle.Stop()
		}
	}
}
