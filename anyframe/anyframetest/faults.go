package anyframetest

import (
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"time"
)

// A Kind is a way in which a request goes wrong.
type Kind int

// Faults of any request. Those up to [Garbage] strike before anything is done;
// from [LoseAnswer] on the request has its effect. Over HTTP/2, what resets a
// connection here resets the request's HTTP/2 stream.
const (
	_ Kind = iota
	// Refuse resets the connection before the body of the request is read.
	Refuse
	// Respond answers with Fault.Status, Fault.RetryAfter and Fault.Body.
	Respond
	// Hang never answers: the request stays until the client leaves.
	Hang
	// Garbage answers 200 with Fault.Body where JSON is due; default half of an
	// HTML page.
	Garbage
	// LoseAnswer does what is asked and resets the connection.
	LoseAnswer
	// Late does what is asked and answers after Fault.Delay.
	Late
	// HangAfterHeaders does what is asked, sends the status and the headers,
	// and then nothing until the client leaves.
	HangAfterHeaders
	// SlowBody sends the body in pieces of Fault.N bytes (default 1) with
	// Fault.Delay in between.
	SlowBody
	// WrongType sends the body with Fault.ContentType; default "text/html".
	WrongType
)

// Faults of event streams. Elsewhere they do nothing. Events are counted for
// each stream from 1, numbered or not, replayed or not.
const (
	// CutAfterEvents breaks the connection behind Fault.N events.
	CutAfterEvents Kind = iota + 100
	// CutAfterBytes breaks the connection behind Fault.N bytes of the body,
	// wherever in a frame that is.
	CutAfterBytes
	// EndAfterEvents ends the stream, as if it were complete, behind Fault.N
	// events.
	EndAfterEvents
	// StallAfterEvents keeps the stream open behind Fault.N events and sends
	// nothing more, not even comments.
	StallAfterEvents
	// RepeatLast starts the stream Fault.N numbered events too early.
	RepeatLast
	// ReplayAll starts the stream with the first event, whatever the
	// Last-Event-ID.
	ReplayAll
	// Drop leaves out event Fault.N.
	Drop
	// Swap sends event Fault.N behind the one that follows it.
	Swap
	// Garble breaks the JSON of event Fault.N; its id stays.
	Garble
	// InsertGarbage adds a frame without id behind Fault.N events, whose data
	// is Fault.Body; default a piece of JSON that can't be parsed.
	InsertGarbage
	// InsertUnknown is the same with an event of an unknown type.
	InsertUnknown
	// InsertUnnumbered is the same with an assistant delta.
	InsertUnnumbered
)

// A Fault makes requests fail. Op and Session choose which, After and Times
// how many of them, and Kind how; the other fields belong to the kinds that
// name them.
type Fault struct {
	Kind    Kind
	Op      Op     // default any
	Session string // id of the session; default any, and requests of none
	After   int    // how many requests go well first
	Times   int    // how many fail then; 0 is all, until [Server.ClearFaults]

	N           int
	Delay       time.Duration
	Status      int    // default 500
	RetryAfter  string // value of the header; "" leaves it out
	ContentType string
	Body        string // default for [Respond]: a JSON detail
}

// injected is a fault and what it has seen. The server's mutex guards it.
type injected struct {
	Fault
	seen, used int
}

// Inject adds faults. A request suffers at most one: the first, in the order
// of injection, that applies to it.
func (s *Server) Inject(faults ...Fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, f := range faults {
		s.faults = append(s.faults, &injected{Fault: f})
	}
}

// ClearFaults removes all faults. Requests that suffer one go on suffering.
func (s *Server) ClearFaults() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults = nil
}

// FaultsHit returns how many requests have suffered a fault.
func (s *Server) FaultsHit() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.hits
}

// nextFault returns the fault of the request; its Kind is 0 when there is none.
func (s *Server) nextFault(c *call) Fault {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, f := range s.faults {
		if f.Op != OpAny && f.Op != c.Op || f.Session != "" && f.Session != c.id {
			continue
		}
		if f.Kind >= CutAfterEvents && c.Op != OpEvents && c.Op != OpBuildStream {
			continue
		}
		if f.seen++; f.seen <= f.After || f.Times > 0 && f.used >= f.Times {
			continue
		}
		f.used++
		s.hits++
		s.notify()
		return f.Fault
	}
	return Fault{}
}

// failBefore fails a request that nothing has been done for. It reports false
// when the fault is of another kind.
func (s *Server) failBefore(w http.ResponseWriter, r *http.Request, f Fault) bool {
	if f.Kind == Respond {
		a := refuse(f.status(), "Scripted failure")
		if f.Body != "" {
			a.body = []byte(f.Body)
		}
		a.header = http.Header{}
		if f.RetryAfter != "" {
			a.header.Set("Retry-After", f.RetryAfter)
		}
		if f.ContentType != "" {
			a.header.Set("Content-Type", f.ContentType)
		}
		deliver(w, a)
		return true
	}
	if f.Kind == Hang {
		s.wait(r, 0)
		reset(w)
		return true
	}
	if f.Kind == Garbage {
		body := f.Body
		if body == "" {
			body = "<html><body>502 Bad Gate"
		}
		deliver(w, success(http.StatusOK, []byte(body)))
		return true
	}
	return false
}

// failAfter sends the answer to a request, or fails to.
func (s *Server) failAfter(w http.ResponseWriter, r *http.Request, f Fault, a answer) {
	if f.Kind == LoseAnswer {
		reset(w)
		return
	}
	if f.Kind == HangAfterHeaders {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(a.status)
		_ = http.NewResponseController(w).Flush()
		s.wait(r, 0)
		reset(w)
		return
	}
	if f.Kind == Late {
		s.wait(r, f.Delay)
	}
	if f.Kind == WrongType {
		w.Header().Set("Content-Type", f.contentType())
	}
	deliver(w, a)
}

func (f Fault) status() int {
	if f.Status == 0 {
		return http.StatusInternalServerError
	}
	return f.Status
}

func (f Fault) contentType() string {
	if f.ContentType == "" {
		return "text/html"
	}
	return f.ContentType
}

// wait waits for d, or for ever when d is 0, or until the client or the server
// leaves.
func (s *Server) wait(r *http.Request, d time.Duration) {
	var over <-chan time.Time
	if d > 0 {
		timer := time.NewTimer(d)
		defer timer.Stop()
		over = timer.C
	}
	select {
	case <-over:
	case <-r.Context().Done():
	case <-s.ctx.Done():
	}
}

// reset ends the connection with a TCP reset, so that the client sees an error
// at once. Where the connection cannot be hijacked, as with HTTP/2, the handler is
// aborted, which resets the HTTP/2 stream.
func reset(w http.ResponseWriter) {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	resetConn(conn)
}

// resetConn closes a connection with a TCP reset. TLS is told nothing of it.
func resetConn(conn net.Conn) {
	if secure, is := conn.(*tls.Conn); is {
		conn = secure.NetConn()
	}
	if tcp, is := conn.(*net.TCPConn); is {
		_ = tcp.SetLinger(0)
	}
	_ = conn.Close()
}

var errGone = errors.New("the client or the server left")

// dribble writes in small pieces.
type dribble struct {
	http.ResponseWriter
	server  *Server
	request *http.Request
	n       int
	delay   time.Duration
}

func (d *dribble) Unwrap() http.ResponseWriter { return d.ResponseWriter }

func (d *dribble) Write(p []byte) (int, error) {
	written := 0
	for len(p) > 0 {
		n := min(d.n, len(p))
		m, err := d.ResponseWriter.Write(p[:n])
		written += m
		if err != nil {
			return written, err
		}
		_ = http.NewResponseController(d.ResponseWriter).Flush()
		p = p[n:]
		if d.delay > 0 {
			d.server.wait(d.request, d.delay)
		}
		if d.request.Context().Err() != nil || d.server.ctx.Err() != nil {
			return written, errGone
		}
	}
	return written, nil
}

func (f Fault) pieceBytes() int { return max(f.N, 1) }
