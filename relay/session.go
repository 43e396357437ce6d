package relay

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/anyframe-relay/relay/anyframe"
	"github.com/anyframe-relay/relay/relay/internal/event"
	"github.com/anyframe-relay/relay/relay/internal/eventlog"
	"github.com/anyframe-relay/relay/relay/internal/redact"
	"github.com/anyframe-relay/relay/relay/internal/telemetry"
	"github.com/anyframe-relay/relay/relay/internal/upstream"
	"github.com/anyframe-relay/relay/relay/store"
)

// session is one visitor's chat: at most one AnyFrame session at a time, and
// the log of what it said. A new AnyFrame session is a new epoch with a log of
// its own. Everything that must survive is in the store; this is the live part.
type session struct {
	hub     *hub
	visitor string
	log     *eventlog.Log // of the present epoch; set under mu, see view
	// order has one slot, given first come, first served: turns reach AnyFrame
	// in the order in which they were read.
	order     chan struct{}
	firstWord telemetry.AnswerSpan
	// waking has one slot too, for who wakes the sandbox or puts it to sleep.
	waking chan struct{}

	loadMu sync.Mutex // held while the record is read and taken over, so that no two do that at once
	lookMu sync.Mutex // held while AnyFrame is asked for the status, so that it is asked once

	feedMu     sync.Mutex // held while an event is translated and appended; never across a call upstream
	translator *translator
	group      []eventlog.Entry // what append works with

	watchers eventlog.Watchers // the session's streams, over all epochs

	mu        sync.Mutex // held only to look or set
	record    store.Session
	status    event.Status
	looked    bool // AnyFrame has told the status
	book      *notebook
	confirmed time.Time // when AnyFrame last showed that the sandbox runs
	busy      bool      // the agent is at work
	midway    bool      // the agent may be at work, from before this process looked
	unheard   bool      // nothing came yet since the stream was opened
	active    time.Time // when the last event came
	asked     time.Time // when the running turn was accepted; zero once the agent answered
	began     time.Time // when the running turn was accepted
	flight    *flight   // the wake under way
	pump      *pump
	voided    bool
	loaded    bool               // the record has been read
	devices   map[string]*device // of a visitor whom the website named, by token

	countMu sync.Mutex // held while the store is told how the sandbox counts, so that the last word is the newest
	ticket  int64      // of the sandbox among those awake; 0 when it is not counted here
	counted time.Time  // when the store was last told
	ranked  int64      // what it was told then

	opened    time.Time // when this process began to hold it
	listeners int       // event streams; guarded by hub.mu

	refs  int         // guarded by hub.mu
	idle  *time.Timer // guarded by hub.mu
	watch *time.Timer // guarded by hub.mu
}

// flight is one attempt to get the sandbox running, shared by all who wait.
type flight struct {
	// addr is who wants a sandbox, even if that takes a new one; empty while
	// the flight only waits for one that comes up anyway. Guarded by session.mu.
	addr string
	done chan struct{} // closed when err is set
	err  error
}

func newSession(h *hub, visitor string) *session {
	s := &session{
		hub: h, visitor: visitor, opened: time.Now(), status: event.StatusNone, book: &notebook{},
		order: make(chan struct{}, 1), waking: make(chan struct{}, 1),
	}
	s.log = s.newLog(0)
	return s
}

// newLog returns an empty log that tells the session's streams of its changes.
func (s *session) newLog(base int64) *eventlog.Log {
	log := eventlog.New(base, s.hub.logLimits())
	log.Watch(s.watchers.Notify)
	return log
}

func (h *hub) logLimits() eventlog.Limits {
	return eventlog.Limits{Events: h.config.ReplayEvents, Bytes: h.config.ReplayBytes, Compact: event.CompactDeltas}
}

// logger adds who this is about, as nobody outside can recognise. The caller
// does not hold mu.
func (s *session) logger() *slog.Logger {
	log := s.hub.log.With("visitor", redact.ID(s.visitor))
	if hash := s.hash(); hash != "" {
		log = log.With("session", hash)
	}
	return log
}

// hash is how AnyFrame's session appears in logs, "" when there is none.
func (s *session) hash() string {
	if id := s.upstreamID(); id != "" {
		return redact.ID(id)
	}
	return ""
}

// LogAttrs implements [Subject].
func (s *session) LogAttrs() []slog.Attr {
	attrs := []slog.Attr{slog.String("visitor", redact.ID(s.visitor)), slog.String("session", s.hash())}
	if epoch := s.view().epoch; epoch > 0 {
		attrs = append(attrs, slog.Int64("epoch", epoch))
	}
	return attrs
}

// adopt makes rec the present epoch: a new log, and all streams start over.
func (s *session) adopt(ctx context.Context, rec store.Session, st event.Status, midway bool) error {
	book := &notebook{}
	if err := book.load(ctx, s.hub.store, s.visitor, rec.Epoch); err != nil {
		return err
	}
	s.feedMu.Lock()
	defer s.feedMu.Unlock()
	log := s.newLog(rec.LastSeq)
	s.translator = newTranslator(s.hub.config, s.hub.marks, rec.Epoch, rec.LastSeq, book, false)
	for _, p := range book.settledBetween(rec.LastSeq, 1<<62) { // unnumbered, so not in AnyFrame's log
		// One that comes after the log begins is told after its prompt.
		if id, ok := s.translator.visiblePrompt(p); ok && p.note.Seq <= rec.LastSeq {
			log.Append(event.Item{Kind: "settled", Data: event.SettledData{ID: id, Outcome: p.Outcome}}.Entry(rec.Epoch))
		}
	}
	s.mu.Lock()
	old := s.log
	s.record, s.status, s.book, s.log = rec, st, book, log
	s.busy, s.midway, s.confirmed = false, midway, time.Time{}
	s.asked, s.began = time.Time{}, time.Time{}
	s.mu.Unlock()
	old.Close()
	return nil
}

// view is what a stream shows. Its log is closed when the epoch ends;
// every other change notifies the log's readers.
type view struct {
	status event.Status
	epoch  int64
	log    *eventlog.Log
	voided bool
}

func (s *session) view() view {
	s.mu.Lock()
	defer s.mu.Unlock()
	return view{s.status, s.record.Epoch, s.log, s.voided}
}

// state is the session as GET /v1/session tells it.
type state struct {
	Status      event.Status `json:"status"`
	Epoch       int64        `json:"epoch"`
	AgentBusy   bool         `json:"agent_busy"`
	LastEventID *string      `json:"last_event_id"`
}

func (s *session) state() state {
	s.mu.Lock()
	defer s.mu.Unlock()
	st := state{Status: s.status, Epoch: s.record.Epoch, AgentBusy: s.busy}
	if s.flight != nil && st.Status != event.StatusRunning {
		st.Status = event.StatusBooting // or about to be
	}
	if head := s.log.Head(); st.Epoch > 0 && head > 0 {
		st.LastEventID = new(event.ID{Epoch: st.Epoch, Seq: head}.String())
	}
	return st
}

// setStatus tells every stream of a change. An epoch that has ended stays so.
func (s *session) setStatus(st event.Status) {
	s.mu.Lock()
	if s.status == event.StatusEnded {
		s.mu.Unlock()
		return
	}
	changed := s.status != st
	s.status = st
	if st == event.StatusRunning {
		s.confirmed = time.Now()
	}
	log := s.log
	s.mu.Unlock()
	if changed {
		s.logger().Info("session", "status", st, "epoch", s.view().epoch)
		log.Notify()
	}
}

// works reports whether a turn runs and has shown a sign of life within limit.
func (s *session) works(limit time.Duration) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.flight != nil || (s.busy && time.Since(s.active) < limit)
}

// save changes the stored record of this epoch. A record that somebody else has
// moved to another epoch, or ended, is left alone.
func (s *session) save(ctx context.Context, change func(*store.Session)) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), storeTimeout)
	defer cancel()
	s.mu.Lock()
	rec := s.record
	s.mu.Unlock()
	for {
		change(&rec)
		rec.ExpiresAt = time.Now().Add(s.hub.config.VisitorTTL)
		saved, err := s.hub.store.SaveSession(ctx, rec)
		if err == nil {
			s.mu.Lock()
			if s.record.Epoch == saved.Epoch {
				s.record = saved
			}
			s.mu.Unlock()
			return nil
		}
		if !errors.Is(err, store.ErrConflict) {
			return err
		}
		fresh, err := s.hub.store.Session(ctx, s.visitor)
		if err != nil {
			return err
		}
		if fresh.Epoch != rec.Epoch || fresh.UpstreamID != rec.UpstreamID || (event.Status(fresh.State) == event.StatusEnded && s.view().status != event.StatusEnded) {
			return store.ErrConflict
		}
		rec = fresh
	}
}

// outlive sees to it that the record is kept for as long as its visitor is, who
// may come back only to read: without it the conversation would be gone and the
// next epoch be called as one of before. A little less does no harm.
func (s *session) outlive(ctx context.Context, visitor time.Time) error {
	s.mu.Lock()
	kept := s.record.Epoch == 0 || !s.record.ExpiresAt.Before(visitor.Add(-s.hub.config.VisitorTTL/20))
	s.mu.Unlock()
	if kept {
		return nil
	}
	if err := s.save(ctx, func(*store.Session) {}); !errors.Is(err, store.ErrConflict) {
		return err
	}
	return nil // somebody else changed it, and so it is kept
}

const storeTimeout = 5 * time.Second

// look asks AnyFrame where the session stands, once, and starts to read its
// stream if it is awake. It never wakes it.
func (s *session) look(ctx context.Context) error {
	s.lookMu.Lock()
	defer s.lookMu.Unlock()
	s.mu.Lock()
	id, st, running, looked := s.record.UpstreamID, s.status, s.pump != nil, s.looked
	s.mu.Unlock()
	if running || id == "" || st == event.StatusEnded {
		return nil
	}
	if looked {
		if st == event.StatusRunning {
			s.startPump(false, "")
		}
		return nil
	}
	up, err := s.hub.client.Sessions.Get(ctx, id)
	switch {
	case errors.Is(err, anyframe.ErrNotFound):
		s.setStatus(event.StatusEnded)
		s.leave(time.Now())
	case err != nil:
		if st == event.StatusRunning || st == event.StatusBooting {
			s.startPump(false, "") // it was awake when we last knew; the pump finds out
		}
		return err
	case up.Status == anyframe.StatusRunning:
		s.setStatus(event.StatusRunning)
		s.stayAwake(ctx)
		s.startPump(false, "")
	case up.Status == anyframe.StatusBooting:
		s.setStatus(event.StatusBooting)
		if _, err := s.countAwake(ctx, 0); err != nil {
			return err
		}
		s.startPump(true, "") // it comes up anyway: wait for it
	case up.Status == anyframe.StatusError:
		s.setStatus(event.StatusFailed)
		s.leave(time.Now())
	default:
		if err := s.sync(ctx); err != nil {
			return err
		}
		s.interrupt()
		s.setStatus(event.StatusSleeping)
		s.leaveOnceDown(ctx, id)
	}
	s.mu.Lock()
	s.looked = true
	s.mu.Unlock()
	return nil
}

// notes returns the notebook of the present epoch.
func (s *session) notes() *notebook {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.book
}

// upstreamID returns what AnyFrame calls the session, "" when there is none.
func (s *session) upstreamID() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.record.UpstreamID
}

// sync reads what AnyFrame's log has beyond ours, for a session whose stream
// there is no reason to open.
func (s *session) sync(ctx context.Context) error {
	v, id := s.view(), s.upstreamID()
	for row, err := range s.hub.client.Sessions.TranscriptAll(ctx, id, v.log.Head()) {
		if err != nil {
			return err
		}
		ev := upstream.Decode(row.Event())
		s.inform(ctx, ev, s.notes(), false)
		s.feed(v.log, ev)
	}
	s.showMissing(ctx)
	return nil
}
