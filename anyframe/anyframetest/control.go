package anyframetest

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"time"
)

// SessionInfo is a session's internal state.
type SessionInfo struct {
	ID          string
	AgentID     int64
	Status      string
	SandboxID   string // of the last sandbox
	SandboxURL  string
	SnapshotID  string // of the latest snapshot; "" if there is none
	IdleTimeout time.Duration
	Unsafe      bool
	Setup       bool
	From        int64 // the snapshot it was created from; 0 for none
	CreatedAt   time.Time
	LastActive  time.Time
	Turns       int  // messages accepted so far
	Busy        bool // a turn is running
	Waiting     bool // the turn waits for the answer to a prompt
}

// on runs fn, which changes the session with that id, if there is one.
func (s *Server) on(id string, fn func(*session)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if sess := s.sessions[id]; sess != nil && !s.closed {
		fn(sess)
		s.notify()
	}
}

// look runs fn, which only reads the session with that id, if there is one. It
// wakes no waiter, so that a condition in WaitFor may call it.
func (s *Server) look(id string, fn func(*session)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if sess := s.sessions[id]; sess != nil {
		fn(sess)
	}
}

// Sleep puts a session to sleep, as its idle timeout would. Like all methods with a
// session id, it does nothing if there is no such session.
func (s *Server) Sleep(id string) {
	s.on(id, func(sess *session) {
		if sess.live() && sess.status != StatusSnapshotting {
			sess.down()
		}
	})
}

// Wake resumes a session that is asleep and has a snapshot.
func (s *Server) Wake(id string) {
	s.on(id, func(sess *session) {
		if !sess.live() && sess.status != StatusError && len(sess.snapshots) > 0 {
			sess.boot()
		}
	})
}

// Delete deletes a session, live or not: its streams end, and later requests get a
// 404.
func (s *Server) Delete(id string) { s.on(id, s.remove) }

// SetStatus gives a session any status, including one that AnyFrame does not have.
// Statuses of a stopped sandbox end its turn and its streams, and terminated and
// paused leave a snapshot to resume from. Running starts a sandbox if there is
// none. Nothing else happens automatically.
func (s *Server) SetStatus(id, status string) {
	s.on(id, func(sess *session) {
		sess.stopPending()
		if status == StatusRunning {
			sess.up()
			return
		}
		sess.setStatus(status)
		if status == StatusTerminated || status == StatusPaused {
			sess.snapshot()
		}
	})
}

// LoseSnapshots deletes the snapshots that a session could be resumed from.
func (s *Server) LoseSnapshots(id string) {
	s.on(id, func(sess *session) { sess.snapshots = nil })
}

// FailBoots makes the next n boots, including running ones, end in status error,
// with a reason in error_reason.
func (s *Server) FailBoots(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.failBoots = n
}

// Post adds an event to a session's log, in any status, and returns its number; 0
// if there is no such session.
func (s *Server) Post(id string, payload any) (seq int64) {
	data := encode(payload)
	s.on(id, func(sess *session) { seq = sess.append(s.seqStep, data, true) })
	return seq
}

// PostUnnumbered sends an event without an id to the open streams of a session.
func (s *Server) PostUnnumbered(id string, payload any) {
	data := encode(payload)
	s.on(id, func(sess *session) { sess.append(s.seqStep, data, false) })
}

// UserMessage sends a message to a session as its operator would from the console,
// and returns its number; 0 if the session is not running.
func (s *Server) UserMessage(id, text string) (seq int64) {
	s.on(id, func(sess *session) {
		if sess.status == StatusRunning {
			seq = sess.message(text, nil)
		}
	})
	return seq
}

// Answer answers the open prompt of a session as its operator would: text for a
// question, "approve" or anything else for a permission. It reports whether there
// was one.
func (s *Server) Answer(id, text string) (settled bool) {
	s.on(id, func(sess *session) {
		for _, p := range sess.prompts {
			if !p.settled {
				p.settle(reply{text: text, approve: text == "approve"})
				settled = true
				return
			}
		}
	})
	return settled
}

// EndStreams ends all event streams normally.
func (s *Server) EndStreams() { s.stopStreams(false) }

// CutStreams resets the connections of all event streams. Over HTTP/2 it resets the
// HTTP/2 streams and leaves their connection open.
func (s *Server) CutStreams() { s.stopStreams(true) }

// CutConnections resets every connection with an open request, including all
// requests on it. New connections are accepted.
func (s *Server) CutConnections() {
	for _, conn := range s.busyConns() {
		resetConn(conn)
	}
}

func (s *Server) stopStreams(abort bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, log := range s.journals() {
		for st := range log.streams {
			st.stop(abort)
		}
	}
}

// Log returns a session's numbered events, oldest first.
func (s *Server) Log(id string) (events []Event) {
	s.look(id, func(sess *session) { events = sess.since(0, -1) })
	return events
}

// Sessions returns all sessions, oldest first.
func (s *Server) Sessions() []SessionInfo {
	s.mu.Lock()
	defer s.mu.Unlock()
	infos := make([]SessionInfo, 0, len(s.order))
	for _, sess := range s.order {
		infos = append(infos, sess.info())
	}
	return infos
}

// Session returns one session, and whether there is one with that id.
func (s *Server) Session(id string) (info SessionInfo, found bool) {
	s.look(id, func(sess *session) { info, found = sess.info(), true })
	return info, found
}

func (sess *session) info() SessionInfo {
	info := SessionInfo{
		ID: sess.id, AgentID: sess.agent.id, Status: sess.status,
		SandboxID: sess.sandboxID, SandboxURL: sess.sandboxURL,
		IdleTimeout: time.Duration(sess.idleSeconds) * time.Second,
		Unsafe:      sess.unsafe, Setup: sess.setup, From: sess.from,
		CreatedAt: sess.created, LastActive: sess.lastActive,
		Turns: sess.turns, Busy: sess.box != nil && sess.box.busy,
	}
	info.Waiting = slices.ContainsFunc(sess.prompts, func(p *prompt) bool { return !p.settled })
	info.SnapshotID = sess.snapshotImage()
	return info
}

// Messages returns the bodies of the messages that a session has accepted, in
// order.
func (s *Server) Messages(id string) (bodies []json.RawMessage) {
	s.look(id, func(sess *session) { bodies = slices.Clone(sess.messages) })
	return bodies
}

// Requests returns the received requests, in order of arrival. If there are very
// many, the oldest are dropped.
func (s *Server) Requests() []Request {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.requests)
}

// Count returns the number of received requests of an operation, including failed
// ones; of all operations for [OpAny].
func (s *Server) Count(op Op) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	if op != OpAny {
		return s.counts[op]
	}
	total := 0
	for n := range maps.Values(s.counts) {
		total += n
	}
	return total
}

// Awake returns how many sessions have a sandbox now, and the maximum so far. A
// session that is booting or snapshotting has one.
func (s *Server) Awake() (now, most int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.awake, s.mostAwake
}

// OpenStreams returns the number of open event streams of a session; of all
// sessions if id is empty.
func (s *Server) OpenStreams(id string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	if sess := s.sessions[id]; sess != nil {
		return len(sess.streams)
	}
	total := 0
	if id == "" {
		for _, sess := range s.order {
			total += len(sess.streams)
		}
	}
	return total
}

// Secrets returns everything the server has issued that no visitor may see: its key
// and all tokens, the ids of sessions, sandboxes, images, prompts, requests and
// tool uses, and the URLs of sandboxes, previews, build logs and authorizations.
// Ids that are small integers are not among them.
func (s *Server) Secrets() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.secrets)
}

// patience is the timeout of WaitFor.
const patience = 10 * time.Second

// WaitFor waits until cond returns true. It calls cond whenever something has
// happened on the server and, because cond may depend on something else, every few
// milliseconds. It fails the test after ten seconds. Pass a testing.TB as t; cond
// may call any method of the server.
func (s *Server) WaitFor(t TB, cond func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := s.Wait(ctx, cond); err != nil {
		t.Fatalf("%v", err)
	}
}

// Wait is like [Server.WaitFor] outside of tests: it returns when ctx ends.
func (s *Server) Wait(ctx context.Context, cond func() bool) error {
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		changed := s.nextChange()
		if cond() {
			return nil
		}
		select {
		case <-changed:
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("anyframetest: waiting in vain: %w", ctx.Err())
		}
	}
}

// nextChange returns a channel that is closed on the next change.
func (s *Server) nextChange() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.changed == nil {
		s.changed = make(chan struct{})
	}
	return s.changed
}
