// Package group ties the lifetime of goroutines to that of their owner: closing a group
// waits for its members, and no goroutine can join it afterwards.
//
// A [sync.WaitGroup] alone leaves a race between Add and Wait, which every owner would
// have to close with a lock and a flag of its own.
package group

import "sync"

// Group counts members, which are goroutines or anything else that ends. The zero Group
// is open and empty.
type Group struct {
	mu      sync.Mutex // holding it guarantees that closed does not change between the check and the Add
	closed  bool
	members sync.WaitGroup
}

// Go runs f in a goroutine that is a member. If the group is closed, it runs nothing and
// returns false.
func (g *Group) Go(f func()) bool {
	if !g.Add() {
		return false
	}
	go func() {
		defer g.Done()
		f()
	}()
	return true
}

// Add adds a member, which must call Done when it ends. If the group is closed, it adds
// none and returns false.
func (g *Group) Add() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closed {
		return false
	}
	g.members.Add(1)
	return true
}

// Done removes a member.
func (g *Group) Done() { g.members.Done() }

// Close refuses new members and waits until all have ended. It does not signal them to
// end; the owner must do that first. A member must not call it.
func (g *Group) Close() {
	g.mu.Lock()
	g.closed = true
	g.mu.Unlock()
	g.members.Wait()
}
