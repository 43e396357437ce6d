package anyframetest

import (
	"net/http"
	"sort"
	"strconv"
	"time"
)

const maxBatchBytes = 64 << 10

// item is a stored event. An unnumbered one has the seq of the previous numbered
// one, so that a feed is sorted.
type item struct {
	seq      int64
	numbered bool
	name     eventName
	at       int64 // Unix microseconds
	payload  []byte
}

// eventName returns the SSE event name of an item.
type eventName uint8

const (
	unnamed eventName = iota
	lineEvent
	stateEvent
)

var eventNames = [...]string{lineEvent: "line", stateEvent: "state"}

// A journal is a log and its streams. The server's mutex guards it.
type journal struct {
	feed    []item // append-only, so that a part of it can be read without the lock
	wake    chan struct{}
	streams map[*stream]struct{}
	more    func() bool // reports whether more events can come; otherwise streams end
}

func newJournal() journal { return journal{streams: make(map[*stream]struct{})} }

func (j *journal) wakeStreams() {
	if j.wake != nil {
		close(j.wake)
		j.wake = nil
	}
}

// after returns the index in the feed of the first event after seq.
func (j *journal) after(seq int64) int {
	return sort.Search(len(j.feed), func(i int) bool { return j.feed[i].seq > seq })
}

// journals returns all logs that can be streamed.
func (s *Server) journals() []*journal {
	var all []*journal
	for _, sess := range s.order {
		all = append(all, &sess.journal)
	}
	for _, a := range s.agents {
		for _, b := range a.builds {
			all = append(all, &b.journal)
		}
	}
	return all
}

// A stream is one open event stream: a cursor into a log. It runs in its request's
// goroutine and starts no other.
type stream struct {
	server  *Server
	log     *journal
	w       http.ResponseWriter
	r       *http.Request
	control *http.ResponseController
	fault   Fault

	cursor int // index in the feed of the next event
	live   int // index in the feed where the replay ends; unnumbered events are sent from there
	events int // handled so far
	bytes  int // written so far
	buf    []byte
	held   []byte // the frame that waits for the next one, for Swap

	ended chan struct{} // closed to make the stream end
	abort bool          // set before ended is closed: end with a reset
}

// outcome says how a stream continues.
type outcome int

const (
	goOn  outcome = iota
	end           // normally
	cut           // in the middle of the body
	stall         // open and silent
)

// serveStream streams a session's events or a build's log.
func (s *Server) serveStream(w http.ResponseWriter, r *http.Request, c *call, f Fault) {
	if f.Kind == LoseAnswer {
		reset(w)
		return
	}
	if f.Kind == Late {
		s.wait(r, f.Delay)
	}
	if f.Kind == HangAfterHeaders {
		f = Fault{Kind: StallAfterEvents}
	}
	st := &stream{
		server: s, w: w, r: r, fault: f,
		control: http.NewResponseController(w), ended: make(chan struct{}),
	}
	if refusal, opened := st.open(c); !opened {
		deliver(w, refusal)
		return
	}
	defer st.close()

	contentType := "text/event-stream"
	if f.Kind == WrongType {
		contentType = f.contentType()
	}
	w.Header().Set("Content-Type", contentType)
	w.Header().Set("Cache-Control", "no-cache")
	w.WriteHeader(http.StatusOK)
	_ = st.control.Flush()

	switch st.run() {
	case cut:
		panic(http.ErrAbortHandler) // the body ends without its last chunk
	case stall:
		select {
		case <-st.ended:
		case <-r.Context().Done():
		case <-s.ctx.Done():
		}
	case goOn, end:
	}
	if st.aborted() {
		reset(w)
	}
}

// open finds the log and the start position.
func (st *stream) open(c *call) (answer, bool) {
	s := st.server
	s.mu.Lock()
	defer s.mu.Unlock()
	if c.Op == OpBuildStream {
		a, refusal := s.lookUpAgent(c)
		if a == nil {
			return refusal, false
		}
		_, b, refusal := find(c, 1, "Build", a.builds)
		if b == nil {
			return refusal, false
		}
		st.log = &b.journal // from the start: its lines have no ids
	} else {
		sess, refusal := s.lookUp(c.id)
		if sess == nil {
			return refusal, false
		}
		last, err := strconv.ParseInt(c.Header.Get("Last-Event-ID"), 10, 64)
		if err != nil || st.fault.Kind == ReplayAll {
			last = 0
		}
		st.log = &sess.journal
		st.cursor, st.live = st.log.after(last), len(st.log.feed)
	}
	if st.fault.Kind == RepeatLast {
		for back := 0; st.cursor > 0 && back < st.fault.N; {
			st.cursor--
			if st.log.feed[st.cursor].numbered {
				back++
			}
		}
	}
	st.log.streams[st] = struct{}{}
	s.notify()
	return answer{}, true
}

// close removes the stream from the session's list.
func (st *stream) close() {
	st.server.mu.Lock()
	defer st.server.mu.Unlock()
	if _, listed := st.log.streams[st]; listed {
		delete(st.log.streams, st)
		st.server.notify()
	}
}

// stop makes the stream end, with a reset if abort is set. The caller holds the
// server's mutex.
func (st *stream) stop(abort bool) {
	select {
	case <-st.ended:
		return
	default:
	}
	st.abort = abort
	if abort {
		_ = st.control.SetWriteDeadline(time.Now()) // it may be blocked in a write
	}
	close(st.ended)
}

// hurry gives a stream that is blocked in a write one more second.
func (st *stream) hurry() { _ = st.control.SetWriteDeadline(time.Now().Add(time.Second)) }

func (st *stream) aborted() bool {
	st.server.mu.Lock()
	defer st.server.mu.Unlock()
	return st.abort
}

// run writes events until the stream ends.
func (st *stream) run() outcome {
	if o := st.reached(); o != goOn {
		return o
	}
	var quiet <-chan time.Time
	var timer *time.Timer
	if d := st.server.keepalive; d > 0 {
		timer = time.NewTimer(d)
		defer timer.Stop()
		quiet = timer.C
	}
	for {
		batch, wake, open := st.next()
		if o := st.write(batch); o != goOn {
			return o
		}
		if len(batch) > 0 {
			if timer != nil {
				timer.Reset(st.server.keepalive)
			}
			select {
			case <-st.ended:
				return end
			default:
				continue
			}
		}
		if !open {
			return st.last()
		}
		select {
		case <-wake:
		case <-quiet:
			st.buf = append(st.buf, ": keepalive\n\n"...)
			if o := st.flush(); o != goOn {
				return o
			}
			timer.Reset(st.server.keepalive)
		case <-st.ended:
			return end
		case <-st.r.Context().Done():
			return end
		case <-st.server.ctx.Done():
			return end
		}
	}
}

// next returns the new events, a channel that is closed when there are more, and
// whether there can be more.
func (st *stream) next() (batch []item, wake <-chan struct{}, open bool) {
	s, log := st.server, st.log
	s.mu.Lock()
	defer s.mu.Unlock()
	if log.wake == nil {
		log.wake = make(chan struct{})
	}
	batch = log.feed[st.cursor:]
	if replayed := st.live - st.cursor; replayed > 0 {
		batch = batch[:replayed]
	}
	return batch, log.wake, log.more() && !s.closed
}

// write sends a batch.
func (st *stream) write(batch []item) outcome {
	for _, it := range batch {
		replayed := st.cursor < st.live
		st.cursor++
		if replayed && !it.numbered {
			continue
		}
		if o := st.event(it); o != goOn {
			return o
		}
		if len(st.buf) >= maxBatchBytes {
			if o := st.flush(); o != goOn {
				return o
			}
		}
	}
	return st.flush()
}

// inserted holds the default frames of the kinds that insert one.
var inserted = map[Kind]string{
	InsertGarbage:    `{"type":"assistant","message":{"content":[{"ty`,
	InsertUnknown:    `{"type":"weather_report","sky":"clear"}`,
	InsertUnnumbered: `{"type":"assistant","delta":true,"message":{"content":[{"type":"text","text":"…"}]}}`,
}

// flush writes the buffered bytes, or as many as the fault allows.
func (st *stream) flush() outcome {
	if len(st.buf) == 0 {
		return goOn
	}
	then, buf := goOn, st.buf
	if room := st.fault.N - st.bytes; st.fault.Kind == CutAfterBytes && len(buf) >= room {
		then, buf = cut, buf[:room]
	}
	n, err := st.w.Write(buf)
	st.bytes += n
	st.buf = st.buf[:0]
	if err != nil {
		return end
	}
	if err := st.control.Flush(); err != nil {
		return end
	}
	return then
}
