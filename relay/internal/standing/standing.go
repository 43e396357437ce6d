// Package standing holds the state of a visitor's AnyFrame session: its status, when
// AnyFrame last confirmed it, and the view of it that streams read.
//
// It makes no calls. A caller that asks AnyFrame, or wakes the sandbox, holds a slot of a
// [Standing].
package standing

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/anyframe-relay/relay/relay/internal/conversation"
	"github.com/anyframe-relay/relay/relay/internal/event"
	"github.com/anyframe-relay/relay/relay/internal/eventlog"
)

// View is the state that a stream reads. Its log is closed when the epoch ends; every
// other change notifies the session's watchers. Views are comparable.
type View struct {
	Status  event.Status
	Epoch   int64
	Log     *eventlog.Log
	Revoked bool // the visitor was forgotten
	Erased  bool // the epoch was erased
}

// Standing is the state of one visitor's session. It is safe for concurrent use.
type Standing struct {
	// Looking is a slot for one holder, which requests the status from AnyFrame, so that
	// only one request is made.
	Looking chan struct{}
	// Waking is a slot for waking the sandbox or putting it to sleep.
	Waking chan struct{}

	conv atomic.Pointer[conversation.Conversation] // the current one; replaced, never changed
	view atomic.Pointer[View]                      // current; set under mu

	mu        sync.Mutex // keeps the status, the fields about it, the conversation and the view consistent
	status    event.Status
	looked    bool      // AnyFrame has returned the status
	confirmed time.Time // when AnyFrame last showed that the sandbox runs
	revoked   bool      // the visitor was forgotten
}

// Init initializes s with a conversation that has not begun.
func (s *Standing) Init(c *conversation.Conversation) {
	s.Looking, s.Waking = make(chan struct{}, 1), make(chan struct{}, 1)
	s.Become(c, event.StatusNone)
}

// SetLooked sets whether AnyFrame has returned the status of c's sandbox; if not, it will
// be asked. SetLooked does nothing if c is no longer the current conversation.
func (s *Standing) SetLooked(c *conversation.Conversation, looked bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if c == s.conv.Load() {
		s.looked = looked
	}
}

// Looked reports whether AnyFrame has returned the status.
func (s *Standing) Looked() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.looked
}

// Confirm records that AnyFrame has just shown that the sandbox runs.
func (s *Standing) Confirm() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.confirmed = time.Now()
}

// Confirmed returns when AnyFrame last showed that the sandbox runs, by a response or an
// event.
func (s *Standing) Confirmed() time.Time {
	s.mu.Lock()
	at := s.confirmed
	s.mu.Unlock()
	if a := s.conv.Load().Activity().Active; a.After(at) {
		return a
	}
	return at
}

// Conversation returns the current conversation.
func (s *Standing) Conversation() *conversation.Conversation { return s.conv.Load() }

// View returns the session's current state.
func (s *Standing) View() View { return *s.view.Load() }

// publish updates the view. The caller holds mu.
func (s *Standing) publish() {
	c := s.conv.Load()
	s.view.Store(&View{s.status, c.Epoch(), c.Log(), s.revoked, c.Epoch() > 0 && c.ID() == ""})
}

// Become makes c the current conversation, and returns the previous one, nil at first. It
// does not notify the watchers.
func (s *Standing) Become(c *conversation.Conversation, status event.Status) (old *conversation.Conversation) {
	s.mu.Lock()
	defer s.mu.Unlock()
	old = s.conv.Swap(c)
	s.status, s.confirmed, s.looked = status, time.Time{}, false
	s.publish()
	return old
}

// Set sets the status of c's sandbox, and reports whether it changed. It does nothing if
// c is no longer the current conversation, or its epoch has ended. It does not notify the
// watchers.
func (s *Standing) Set(c *conversation.Conversation, status event.Status) (changed bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.status == event.StatusEnded || c != s.conv.Load() {
		return false
	}
	changed = s.status != status
	s.status = status
	if status == event.StatusRunning {
		s.confirmed = time.Now()
	}
	s.publish()
	return changed
}

// Revoke ends the visitor's streams: see [View].
func (s *Standing) Revoke() {
	s.mu.Lock()
	s.revoked = true
	s.publish()
	log := s.conv.Load().Log()
	s.mu.Unlock()
	log.Notify()
}
