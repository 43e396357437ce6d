package session

import (
	"context"
	"log/slog"
	"runtime/debug"
	"sync/atomic"
	"time"

	"github.com/anyframe-relay/relay/relay/internal/capacity"
	"github.com/anyframe-relay/relay/relay/internal/conversation"
	"github.com/anyframe-relay/relay/relay/internal/delivery"
	"github.com/anyframe-relay/relay/relay/internal/device"
	"github.com/anyframe-relay/relay/relay/internal/event"
	"github.com/anyframe-relay/relay/relay/internal/eventlog"
	"github.com/anyframe-relay/relay/relay/internal/intake"
	"github.com/anyframe-relay/relay/relay/internal/ledger"
	"github.com/anyframe-relay/relay/relay/internal/pump"
	"github.com/anyframe-relay/relay/relay/internal/record"
	"github.com/anyframe-relay/relay/relay/internal/redact"
	"github.com/anyframe-relay/relay/relay/internal/resync"
	"github.com/anyframe-relay/relay/relay/internal/roster"
	"github.com/anyframe-relay/relay/relay/internal/standing"
	"github.com/anyframe-relay/relay/relay/internal/stop"
	"github.com/anyframe-relay/relay/relay/internal/store"
	"github.com/anyframe-relay/relay/relay/internal/telemetry"
	"github.com/anyframe-relay/relay/relay/internal/turnqueue"
	"github.com/anyframe-relay/relay/relay/internal/upstream"
	"github.com/anyframe-relay/relay/relay/internal/writer"
)

// Session is one visitor's chat: at most one AnyFrame session at a time, and its
// conversation. Persistent state is in the store; Session is the part in memory.
type Session struct {
	hub     *Hub
	visitor string
	caller  *upstream.Caller // identifies the visitor to the limits on calls to AnyFrame
	opened  time.Time        // when this process loaded it

	addr atomic.Pointer[string] // the visitor's last address; nil before the first

	watchers eventlog.Watchers // the streams to notify of changes; they outlive epochs
	answer   telemetry.AnswerSpan

	record   *record.Record
	standing standing.Standing
	reader   *pump.Reader
	reach    *intake.Reach
	queue    turnqueue.Queue
	devices  device.Set
	writer   *writer.Writer
	seat     *capacity.Seat
	intake   intake.Intake
	courier  delivery.Courier
	stopper  stop.Stopper
	entry    roster.Entry // in the hub's roster
	place    resync.Place // in the hub's resync loop
}

// Call is one attempt to get the sandbox running, shared by all requests that wait for
// it.
type Call = pump.Call

// Device is one of the visitor's tokens that has open streams.
type Device = device.Device

func newSession(h *Hub, visitor string) *Session {
	s := &Session{hub: h, visitor: visitor, caller: upstream.NewCaller(visitor), opened: time.Now()}
	s.record = record.New(h.Store, visitor, h.VisitorTTL)
	s.reader, s.writer = s.newReader(), s.newWriter()
	s.reach = intake.NewReach(s.Rows)
	s.intake = intake.Intake{
		Options: &h.intake, Log: s.logger, Guard: s.guard,
		Slot:    func(ctx context.Context) (func(), error) { return h.reads.Hold(ctx, s.who(ctx)) },
		Learned: s.writer.Add,
	}
	s.courier = delivery.Courier{Visitor: visitor, Client: h.Client, Contexts: h.contexts, Budget: h.Quota, Log: s.logger, Rows: s.intake.Rows, Accepted: s.accepted}
	s.stopper = s.newStopper()
	s.seat = h.gate.Seat(visitor, s.rank, func() bool { return s.View().Status == event.StatusRunning })
	s.standing.Init(s.newConversation(store.Session{}))
	return s
}

// View is a session's state as streams read it.
type View = standing.View

// View returns the session's current state.
func (s *Session) View() View { return s.standing.View() }

// setStatus publishes the status of c's sandbox to all streams. It does nothing if c is
// no longer the current conversation, or has ended.
func (s *Session) setStatus(c *conversation.Conversation, status event.Status) {
	if s.standing.Set(c, status) {
		s.hub.resync.Check(s)
		v := s.View()
		s.logger().Info("session status changed", "status", status, "epoch", v.Epoch)
		v.Log.Notify()
	}
}

// newWriter returns the writer that stores what events reveal.
func (s *Session) newWriter() *writer.Writer {
	return writer.New(writer.Hooks{
		Go: s.hub.members.Go, Guard: s.guard, Context: s.hub.ctx, Log: s.logger,
		Ended: func(ctx context.Context, epoch, seq int64) error {
			return s.save(ctx, epoch, func(rec *store.Session) { rec.LastSeq = max(rec.LastSeq, seq) })
		},
		Failed: func(ctx context.Context, epoch, seq int64, turn string) {
			if s.hub.TurnFailed != nil {
				s.hub.TurnFailed(ctx, s.visitor, epoch, seq, turn)
			}
		},
		Rest: s.noteRest,
		Idle: func(ctx context.Context) { s.seat.Renew(ctx) },
	})
}

// newConversation returns the conversation of an epoch, with an empty ledger.
func (s *Session) newConversation(rec store.Session) *conversation.Conversation {
	l := s.newLedger(rec)
	return conversation.New(&s.hub.live.Load().Conversation, rec.Epoch, rec.UpstreamID, rec.LastSeq, l, s.watchers.Notify, &s.answer)
}

func (s *Session) newLedger(rec store.Session) *ledger.Ledger {
	return ledger.New(ledger.Options{Notes: s.hub.Store, TTL: s.hub.VisitorTTL}, s.visitor, rec.Epoch, rec.LastSeq, s.logger())
}

// adopt makes rec the current epoch, with a new conversation; all streams start over. The
// caller holds the record's slot.
func (s *Session) adopt(ctx context.Context, rec store.Session, status event.Status, midway bool) error {
	l := s.newLedger(rec)
	if err := l.Load(ctx); err != nil {
		return err
	}
	c := conversation.New(&s.hub.live.Load().Conversation, rec.Epoch, rec.UpstreamID, rec.LastSeq, l, s.watchers.Notify, &s.answer)
	c.SetMidway(midway)
	s.record.Set(rec)
	old := s.standing.Become(c, status)
	s.hub.resync.Check(s)
	// A pump that was started while the rows were read feeds the old conversation, so it
	// is stopped. While the sandbox is being woken, the pump is the caller's own and
	// reads nothing yet.
	if p, ok := s.reader.TakeAway(true); ok && p != nil {
		p.Stop()
	}
	old.Close() // last, so that a reader woken by it finds the new conversation
	return nil
}

// Watchers returns the watchers that are notified when [Session.View] or the log changes.
func (s *Session) Watchers() *eventlog.Watchers { return &s.watchers }

// Conversation returns the current conversation.
func (s *Session) Conversation() *conversation.Conversation { return s.standing.Conversation() }

// calls returns a context for calls to AnyFrame on behalf of the visitor.
func (s *Session) calls(ctx context.Context) context.Context { return upstream.For(ctx, s.caller) }

// Visitor returns the id of the session's visitor.
func (s *Session) Visitor() string { return s.visitor }

// Answered records, in the trace of the running turn, that a stream was written to.
func (s *Session) Answered() { s.answer.Sent() }

// Devices returns the visitor's tokens that have open streams in this process.
func (s *Session) Devices() *device.Set { return &s.devices }

// State is a session as GET /v1/session returns it.
type State struct {
	Status      event.Status `json:"status"`
	Epoch       int64        `json:"epoch"`
	AgentBusy   bool         `json:"agent_busy"`
	LastEventID *string      `json:"last_event_id"`
}

// State returns the session's current state.
func (s *Session) State() State {
	v, c := s.View(), s.standing.Conversation()
	st := State{Status: v.Status, Epoch: v.Epoch, AgentBusy: c.Activity().Busy}
	if st.Status != event.StatusRunning && s.reader.Waking() {
		st.Status = event.StatusBooting // or about to boot
	}
	// Not the head: it may be hidden, and clients would wait for it.
	newest := v.Log.Newest()
	if c.Ledger().Unanswered(v.Log.Head()) { // this process has yet to read what the agent does
		st.AgentBusy = true
		newest = max(newest, c.Ledger().Latest())
	}
	if st.Epoch > 0 && newest > 0 {
		st.LastEventID = new(event.ID{Epoch: st.Epoch, Seq: newest}.String())
	}
	return st
}

// Works reports whether a turn runs, or the sandbox is being woken for one. An agent that
// has been silent for longer than AnyFrame keeps an idle sandbox awake no longer counts
// as working.
func (s *Session) Works() bool {
	return s.reader.Waking() || s.standing.Conversation().Works(s.hub.IdleTimeout+countedFor)
}

// rank orders sandboxes for eviction; the lowest rank is evicted first. The sandbox of a
// forgotten visitor has rank 0: it cannot be used any more, whatever its agent is doing.
func (s *Session) rank() int64 {
	if s.View().Revoked {
		return 0
	}
	listened, a := s.hub.sessions.Listeners(s) > 0, s.standing.Conversation().Activity()
	used := s.opened
	if a.Active.After(used) {
		used = a.Active
	}
	switch rank := used.UnixMilli(); {
	case a.Busy || s.reader.Waking():
		return rank + capacity.Busy
	case listened:
		return rank + capacity.Listening
	default:
		return rank
	}
}

// logger returns a logger that adds the visitor's redacted id to each line.
func (s *Session) logger() *slog.Logger {
	log := s.hub.Log.With("visitor", redact.ID(s.visitor))
	if hash := s.hash(); hash != "" {
		log = log.With("session", hash)
	}
	return log
}

// hash is the AnyFrame session's id as logged, or "" if there is no session.
func (s *Session) hash() string {
	if c := s.standing.Conversation(); c != nil && c.ID() != "" {
		return redact.ID(c.ID())
	}
	return ""
}

// LogAttrs implements [telemetry.Subject].
func (s *Session) LogAttrs() []slog.Attr {
	attrs := []slog.Attr{slog.String("visitor", redact.ID(s.visitor)), slog.String("session", s.hash())}
	if epoch := s.View().Epoch; epoch > 0 {
		attrs = append(attrs, slog.Int64("epoch", epoch))
	}
	return attrs
}

// guard calls do and recovers from a panic, so that a bug triggered by one visitor's
// conversation does not end the process and with it all other conversations. It reports
// whether do returned normally.
func (s *Session) guard(do func()) (ended bool) {
	defer func() {
		if cause := recover(); cause != nil {
			s.hub.Metrics.Panics.Inc()
			s.logger().Error("panic", "cause", cause, "stack", string(debug.Stack()))
		}
	}()
	do()
	return true
}
