// Package standing is where a visitor's session of AnyFrame's stands: its status, when
// AnyFrame last showed that, and the view of it that streams look at.
//
// It makes no call. A caller that asks AnyFrame, or wakes the sandbox, holds a slot of a
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

// View is what a stream looks at. Its log is closed when the epoch ends; every other
// change notifies the session's watchers. Views can be compared.
type View struct {
	Status  event.Status
	Epoch   int64
	Log     *eventlog.Log
	Revoked bool // the visitor was forgotten
	Erased  bool // the epoch was
}

// Standing is where one visitor's session stands. It is safe for concurrent use.
type Standing struct {
	// Looking has one slot: its holder asks AnyFrame for the status, so that it is
	// asked once.
	Looking chan struct{}
	// Waking has one slot too, for waking the sandbox and for putting it to sleep.
	Waking chan struct{}

	conv atomic.Pointer[conversation.Conversation] // the present one; replaced, never changed
	view atomic.Pointer[View]                      // of the present moment; set under mu

	mu        sync.Mutex // the status, what is known about it, the conversation and the view agree
	status    event.Status
	looked    bool      // AnyFrame has told the status
	confirmed time.Time // when AnyFrame last showed that the sandbox runs
	revoked   bool      // the visitor was forgotten
}

// Init makes s ready, for a conversation that has not begun.
func (s *Standing) Init(c *conversation.Conversation) {
	s.Looking, s.Waking = make(chan struct{}, 1), make(chan struct{}, 1)
	s.Become(c, event.StatusNone)
}

// SetLooked says whether AnyFrame has told where the sandbox of c stands; if not, it is
// asked. If c is no longer the present conversation, nothing changes.
func (s *Standing) SetLooked(c *conversation.Conversation, looked bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if c == s.conv.Load() {
		s.looked = looked
	}
}

// Looked reports whether AnyFrame has told the status.
func (s *Standing) Looked() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.looked
}

// Confirm notes that AnyFrame shows that the sandbox runs.
func (s *Standing) Confirm() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.confirmed = time.Now()
}

// Confirmed is when AnyFrame last showed that the sandbox runs: by an answer, or by an
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

// Conversation returns the present conversation.
func (s *Standing) Conversation() *conversation.Conversation { return s.conv.Load() }

// View returns where the session stands.
func (s *Standing) View() View { return *s.view.Load() }

// publish makes the view agree with the rest. The caller holds mu.
func (s *Standing) publish() {
	c := s.conv.Load()
	s.view.Store(&View{s.status, c.Epoch(), c.Log(), s.revoked, c.Epoch() > 0 && c.ID() == ""})
}

// Become makes c the present conversation, and returns the one before, nil at first. It
// does not notify the watchers.
func (s *Standing) Become(c *conversation.Conversation, status event.Status) (old *conversation.Conversation) {
	s.mu.Lock()
	defer s.mu.Unlock()
	old = s.conv.Swap(c)
	s.status, s.confirmed, s.looked = status, time.Time{}, false
	s.publish()
	return old
}

// Set changes the status to where the sandbox of c stands, and reports whether it was
// another. What was learned of a conversation that is no longer the present one changes
// nothing, and an epoch that has ended stays so. It does not notify the watchers.
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
