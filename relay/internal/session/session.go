package session

import (
	"context"
	"log/slog"
	"runtime/debug"
	"sync/atomic"
	"time"

	"github.com/anyframe-relay/relay/relay/internal/capacity"
	"github.com/anyframe-relay/relay/relay/internal/conversation"
	"github.com/anyframe-relay/relay/relay/internal/event"
	"github.com/anyframe-relay/relay/relay/internal/eventlog"
	"github.com/anyframe-relay/relay/relay/internal/intake"
	"github.com/anyframe-relay/relay/relay/internal/ledger"
	"github.com/anyframe-relay/relay/relay/internal/redact"
	"github.com/anyframe-relay/relay/relay/internal/store"
	"github.com/anyframe-relay/relay/relay/internal/telemetry"
	"github.com/anyframe-relay/relay/relay/internal/turnqueue"
	"github.com/anyframe-relay/relay/relay/internal/upstream"
)

// Session is one visitor's chat: at most one session of AnyFrame's at a time, and the
// conversation with it. What must survive is in the store; this is the live part.
type Session struct {
	hub     *Hub
	visitor string
	caller  *upstream.Caller // the visitor, to what guards the calls to AnyFrame
	opened  time.Time        // when this process began to hold it

	addr atomic.Pointer[string] // from which the visitor last came; nil before

	conv atomic.Pointer[conversation.Conversation] // the present one; replaced, never changed
	view atomic.Pointer[View]                      // of the present moment; set under sandbox.mu

	watchers eventlog.Watchers // the streams that are told of changes; they outlive epochs
	answer   telemetry.AnswerSpan

	record  record
	sandbox sandbox
	reader  reader
	reach   reach
	queue   turnqueue.Queue
	devices devices
	writer  writer
	seat    *capacity.Seat
	intake  intake.Intake
	life    life
}

func newSession(h *Hub, visitor string) *Session {
	s := &Session{hub: h, visitor: visitor, caller: upstream.NewCaller(visitor), opened: time.Now()}
	s.record.io = make(chan struct{}, 1)
	s.intake = intake.Intake{
		Options: &h.intake, Log: s.logger, Guard: s.guard,
		Slot:    func(ctx context.Context) (func(), error) { return h.reading(ctx, s.who(ctx)) },
		Learned: func(c *conversation.Conversation, e conversation.Effect) { s.writer.add(s, c, e) },
	}
	s.sandbox.init()
	s.reach.init()
	s.seat = h.gate.Seat(visitor, s.rank, func() bool { return s.View().Status == event.StatusRunning })
	c := s.newConversation(store.Session{})
	s.become(c, event.StatusNone)
	return s
}

// newConversation returns the conversation of an epoch, with an empty ledger.
func (s *Session) newConversation(rec store.Session) *conversation.Conversation {
	l := s.newLedger(rec)
	return conversation.New(&s.hub.Conversation, rec.Epoch, rec.UpstreamID, rec.LastSeq, l, s.watchers.Notify, &s.answer)
}

func (s *Session) newLedger(rec store.Session) *ledger.Ledger {
	return ledger.New(ledger.Options{Notes: s.hub.Store, TTL: s.hub.VisitorTTL}, s.visitor, rec.Epoch, rec.LastSeq, s.logger())
}

// adopt makes rec the present epoch: another conversation, and all streams start over.
// The caller has the slot record.io.
func (s *Session) adopt(ctx context.Context, rec store.Session, status event.Status, midway bool) error {
	l := s.newLedger(rec)
	if err := l.Load(ctx); err != nil {
		return err
	}
	c := conversation.New(&s.hub.Conversation, rec.Epoch, rec.UpstreamID, rec.LastSeq, l, s.watchers.Notify, &s.answer)
	c.SetMidway(midway)
	s.record.set(rec)
	old := s.become(c, status)
	old.Close() // last: whoever is woken by it finds the new one
	return nil
}

// Watchers returns those who are told when something changes that [Session.View] or a
// log's reader shows.
func (s *Session) Watchers() *eventlog.Watchers { return &s.watchers }

// Conversation returns the present conversation.
func (s *Session) Conversation() *conversation.Conversation { return s.conv.Load() }

// calls returns a context for calls to AnyFrame that are made for the visitor.
func (s *Session) calls(ctx context.Context) context.Context { return upstream.For(ctx, s.caller) }

// Visitor returns whose session it is.
func (s *Session) Visitor() string { return s.visitor }

// Answered says that a stream was written to, for the trace of the turn that runs.
func (s *Session) Answered() { s.answer.Sent() }

// State is a session as GET /v1/session shows it.
type State struct {
	Status      event.Status `json:"status"`
	Epoch       int64        `json:"epoch"`
	AgentBusy   bool         `json:"agent_busy"`
	LastEventID *string      `json:"last_event_id"`
}

// State returns where the session stands.
func (s *Session) State() State {
	v, c := s.View(), s.conv.Load()
	st := State{Status: v.Status, Epoch: v.Epoch, AgentBusy: c.Activity().Busy}
	if st.Status != event.StatusRunning && s.reader.waking() {
		st.Status = event.StatusBooting // or about to be
	}
	if head := v.Log.Head(); st.Epoch > 0 && head > 0 {
		st.LastEventID = new(event.ID{Epoch: st.Epoch, Seq: head}.String())
	}
	return st
}

// works reports whether a turn runs, or the sandbox is being woken for one. An agent
// that has shown no sign of life for as long as AnyFrame leaves a sandbox awake is not
// at work any more.
func (s *Session) works() bool {
	return s.reader.waking() || s.conv.Load().Works(s.hub.IdleTimeout+countedFor)
}

// rank is how late the session's sandbox is put to sleep to make room.
func (s *Session) rank() int64 {
	listened, a := s.listened(), s.conv.Load().Activity()
	used := s.opened
	if a.Active.After(used) {
		used = a.Active
	}
	switch rank := used.UnixMilli(); {
	case a.Busy || s.reader.waking():
		return rank + capacity.Busy
	case listened:
		return rank + capacity.Listening
	default:
		return rank
	}
}

// logger adds who a line is about, as nobody outside can recognize.
func (s *Session) logger() *slog.Logger {
	log := s.hub.Log.With("visitor", redact.ID(s.visitor))
	if hash := s.hash(); hash != "" {
		log = log.With("session", hash)
	}
	return log
}

// hash is how AnyFrame's session appears in logs, "" when there is none.
func (s *Session) hash() string {
	if c := s.conv.Load(); c != nil && c.ID() != "" {
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

// guard keeps a fault of the relay's in one visitor's conversation from ending all the
// others': without it a panic here would end the process. It reports whether do came
// to its end.
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
