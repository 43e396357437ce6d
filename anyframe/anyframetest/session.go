package anyframetest

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"strings"
	"time"
)

// Statuses of a session in the API. [Server.SetStatus] also accepts any other.
const (
	StatusBooting      = "booting"
	StatusRunning      = "running"
	StatusSnapshotting = "snapshotting"
	StatusTerminated   = "terminated"
	StatusPaused       = "paused"
	StatusError        = "error"
)

// An Event is one entry of a session's log.
type Event struct {
	Seq       int64
	Payload   json.RawMessage
	CreatedAt time.Time
}

// A session is one AnyFrame session. The server's mutex guards all fields.
type session struct {
	server      *Server
	id          string
	agent       *agent
	status      string
	idleSeconds int
	unsafe      bool
	setup       bool
	from        int64 // the snapshot it was created from; 0 for none
	gone        bool  // deleted
	counted     bool  // among the sessions with a sandbox
	sandboxID   string
	sandboxURL  string
	snapshots   []snapshot // oldest first
	created     time.Time
	lastActive  time.Time
	errorReason string    // why a boot failed; "" if none did
	stopped     time.Time // when the last status without a sandbox began
	turns       int
	said        string // the agent's last complete text

	journal
	seq      int64 // the last number given
	previews []*preview
	ports    []int // open in the sandbox besides the agent's
	prompts  []*prompt
	messages []json.RawMessage // accepted bodies

	box     *sandbox // nil unless it is up
	pending func()   // stops the timer of a boot or a snapshot; nil without one
}

type snapshot struct {
	id      int64
	imageID string
	created time.Time
}

// A sandbox is one period of a session from up to down.
type sandbox struct {
	ctx    context.Context
	cancel context.CancelFunc
	busy   bool   // a goroutine runs the queue
	queue  []turn // messages that have not started
	idle   func() // stops the idle timer
}

type turn struct {
	number      int
	prompt      string
	attachments []Attachment
}

// A prompt is a question or a permission request of the agent.
type prompt struct {
	id, requestID, toolUseID string
	permission               bool
	settled                  bool
	reply                    chan reply // accepts one
	event                    item       // the event of the prompt
	summary                  string     // in one line
}

type reply struct {
	text    string
	approve bool
}

func newID(prefix string) string { return prefix + strings.ToLower(rand.Text()) }

// newSession adds a session that has not been booted yet.
func (s *Server) newSession(a *agent) *session {
	now := time.Now().UTC()
	sess := &session{
		server: s, id: s.secret(newUUID()), agent: a, status: StatusBooting, idleSeconds: 300,
		created: now, lastActive: now, journal: newJournal(),
	}
	sess.more = sess.open
	s.sessions[sess.id] = sess
	s.order = append(s.order, sess)
	return sess
}

// bootFailure is the API's reason for a boot that [Server.FailBoots] made fail.
const bootFailure = "The scripted sandbox did not start"

// boot starts a sandbox and returns the session's view meanwhile.
func (sess *session) boot() []byte {
	s := sess.server
	sess.errorReason = ""
	sess.setStatus(StatusBooting)
	sess.sandboxID = s.secret(newID("sb-"))
	sess.sandboxURL = s.secret("https://" + sess.sandboxID + ".sandbox.anyframe.test")
	view := sess.view()
	sess.in(s.bootDelay, func() {
		if s.failBoots > 0 {
			s.failBoots--
			sess.setStatus(StatusError)
			sess.errorReason = bootFailure
			return
		}
		sess.up()
	})
	return view
}

// up makes the session accept messages.
func (sess *session) up() {
	if sess.box == nil {
		ctx, cancel := context.WithCancel(sess.server.ctx)
		sess.box = &sandbox{ctx: ctx, cancel: cancel}
	}
	sess.setStatus(StatusRunning)
	sess.wakePreviews()
	sess.touch()
}

// down stops the sandbox, keeps a snapshot of it, and returns the session's view
// meanwhile. Without a sandbox there is no snapshot.
func (sess *session) down() []byte {
	if sess.box == nil {
		sess.stopTimers()
		sess.setStatus(StatusTerminated)
		return sess.view()
	}
	sess.setStatus(StatusSnapshotting)
	view := sess.view()
	sess.in(sess.server.snapshotDelay, func() {
		sess.snapshot()
		sess.setStatus(StatusTerminated)
	})
	return view
}

func (sess *session) snapshot() {
	s := sess.server
	sess.snapshots = append(sess.snapshots, snapshot{id: s.newNumber(), imageID: s.secret(newID("im-")), created: time.Now().UTC()})
}

// in runs fn after d, or immediately if d is 0, and replaces the pending step.
func (sess *session) in(d time.Duration, fn func()) {
	sess.stopPending()
	if d <= 0 {
		fn()
		return
	}
	sess.pending = sess.server.after(d, func() {
		sess.pending = nil
		fn()
	})
}

func (sess *session) stopPending() {
	if sess.pending != nil {
		sess.pending()
		sess.pending = nil
	}
}

func (sess *session) stopTimers() {
	sess.stopPending()
	if sess.box != nil && sess.box.idle != nil {
		sess.box.idle()
		sess.box.idle = nil
	}
}

// setStatus changes the status and stops the sandbox if the status has none.
func (sess *session) setStatus(status string) {
	if sess.live() {
		sess.stopped = time.Now()
	}
	sess.status = status
	sess.server.count(sess)
	if sess.box != nil && !sess.open() {
		sess.stopTimers()
		sess.box.cancel()
		sess.box = nil
		for _, p := range sess.prompts {
			p.settled = true
		}
		sess.pausePreviews()
	}
	sess.wakeStreams()
	sess.server.notify()
}

// count updates the number of sessions with a sandbox, and its maximum.
func (s *Server) count(sess *session) {
	if live := sess.live(); live != sess.counted {
		sess.counted = live
		if live {
			s.awake++
		} else {
			s.awake--
		}
		s.mostAwake = max(s.mostAwake, s.awake)
	}
}

// open reports whether event streams stay open.
func (sess *session) open() bool {
	switch sess.status {
	case StatusSnapshotting, StatusTerminated, StatusPaused, StatusError:
		return false
	}
	return !sess.gone
}

// live reports whether there is a sandbox, or soon will be, or just was.
func (sess *session) live() bool {
	switch sess.status {
	case StatusTerminated, StatusPaused, StatusError:
		return false
	}
	return true
}

// touch marks the session as active and restarts its idle timer.
func (sess *session) touch() {
	sess.lastActive = time.Now().UTC()
	box := sess.box
	if box == nil {
		return
	}
	if box.idle != nil {
		box.idle()
		box.idle = nil
	}
	d := sess.server.idleTimeout
	if d == 0 {
		d = time.Duration(sess.idleSeconds) * time.Second
	}
	if d > 0 && !box.busy {
		box.idle = sess.server.after(d, func() {
			if sess.status == StatusRunning && sess.box == box && !box.busy {
				sess.down()
			}
		})
	}
}

// append adds an event to the log and returns its number. Only open streams receive
// an unnumbered event.
func (sess *session) append(step int64, payload []byte, numbered bool) int64 {
	if numbered {
		sess.nextSeq(step)
	}
	sess.feed = append(sess.feed, item{seq: sess.seq, numbered: numbered, at: time.Now().UnixMicro(), payload: payload})
	sess.wakeStreams()
	return sess.seq
}

func (sess *session) nextSeq(step int64) {
	if sess.seq == 0 {
		sess.seq = 1
		return
	}
	sess.seq += step
}

// since returns up to limit numbered events after seq. A negative limit means none.
func (sess *session) since(seq int64, limit int) []Event {
	events := []Event{}
	for _, it := range sess.feed[sess.after(seq):] {
		if limit >= 0 && len(events) >= limit {
			break
		}
		if it.numbered {
			events = append(events, Event{Seq: it.seq, Payload: it.payload, CreatedAt: time.UnixMicro(it.at).UTC()})
		}
	}
	return events
}

var resultPayload = []byte(`{"type":"result","subtype":"success","is_error":false}`)

// view returns the session in the API's form.
func (sess *session) view() []byte {
	v := struct {
		ID              string  `json:"id"`
		AgentID         int64   `json:"agent_id"`
		Status          string  `json:"status"`
		ModalSandboxID  *string `json:"modal_sandbox_id"`
		SandboxURL      *string `json:"sandbox_url"`
		SnapshotImageID *string `json:"snapshot_image_id"`
		IdleTimeoutS    int     `json:"idle_timeout_s"`
		Previews        []any   `json:"previews"`
		IsSetupSession  bool    `json:"is_setup_session"`
		CreatedAt       string  `json:"created_at"`
		LastActive      string  `json:"last_active"`
		ErrorReason     *string `json:"error_reason,omitempty"` // newer than the rest
	}{
		ID: sess.id, AgentID: sess.agent.id, Status: sess.status, IdleTimeoutS: sess.idleSeconds,
		Previews: previewViews(sess.previews), IsSetupSession: sess.setup,
		CreatedAt: stamp(sess.created), LastActive: stamp(sess.lastActive),
	}
	if sess.live() {
		v.ModalSandboxID, v.SandboxURL = &sess.sandboxID, &sess.sandboxURL
	}
	v.SnapshotImageID = textOrNull(sess.snapshotImage())
	if sess.errorReason != "" {
		v.ErrorReason = &sess.errorReason
	}
	return encode(v)
}

// snapshotImage returns the image of the latest snapshot, "" if there is none.
func (sess *session) snapshotImage() string {
	if n := len(sess.snapshots); n > 0 {
		return sess.snapshots[n-1].imageID
	}
	return ""
}

// stamp returns t in the API's format.
func stamp(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.999999Z07:00") }
