package anyframetest

import (
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"time"
)

// A Kind is a way in which a request fails.
type Kind int

// Faults of any request. Those up to [Garbage] happen before the request has any
// effect; from [LoseAnswer] on the request takes effect. Over HTTP/2, faults that
// reset a connection reset the request's HTTP/2 stream.
const (
	_ Kind = iota
	// Refuse resets the connection before the body of the request is read.
	Refuse
	// Respond responds with Fault.Status, Fault.RetryAfter and Fault.Body.
	Respond
	// Hang never responds: the request stays open until the client leaves.
	Hang
	// Garbage responds with 200 and Fault.Body instead of JSON; default half of an
	// HTML page.
	Garbage
	// LoseAnswer carries out the request and resets the connection.
	LoseAnswer
	// Late carries out the request and responds after Fault.Delay.
	Late
	// HangAfterHeaders carries out the request, sends the status and the headers, and
	// then nothing until the client leaves.
	HangAfterHeaders
	// SlowBody sends the body in chunks of Fault.N bytes (default 1) with Fault.Delay
	// in between.
	SlowBody
	// WrongType sends the body with Fault.ContentType; default "text/html".
	WrongType
)

// Faults of event streams. They have no effect elsewhere. Events are counted for
// each stream from 1, including unnumbered and replayed ones.
const (
	// CutAfterEvents breaks the connection after Fault.N events.
	CutAfterEvents Kind = iota + 100
	// CutAfterBytes breaks the connection after Fault.N bytes of the body, at any
	// point in a frame.
	CutAfterBytes
	// EndAfterEvents ends the stream normally after Fault.N events.
	EndAfterEvents
	// StallAfterEvents keeps the stream open after Fault.N events and sends nothing
	// more, not even comments.
	StallAfterEvents
	// RepeatLast starts the stream Fault.N numbered events too early.
	RepeatLast
	// ReplayAll starts the stream with the first event, ignoring the Last-Event-ID.
	ReplayAll
	// Drop omits event Fault.N.
	Drop
	// Swap sends event Fault.N after the one that follows it.
	Swap
	// Garble breaks the JSON of event Fault.N; its id stays.
	Garble
	// InsertGarbage adds a frame without id after Fault.N events, with Fault.Body as
	// data; default JSON that cannot be parsed.
	InsertGarbage
	// InsertUnknown is like InsertGarbage, with an event of an unknown type.
	InsertUnknown
	// InsertUnnumbered is like InsertGarbage, with an assistant delta.
	InsertUnnumbered
)

// A Fault makes requests fail. Op and Session select the requests, After and Times
// how many of them, and Kind how they fail. The other fields are for the kinds that
// mention them.
type Fault struct {
	Kind    Kind
	Op      Op     // default any
	Session string // id of the session; default any, including requests without one
	After   int    // how many requests succeed first
	Times   int    // how many fail then; 0 means all, until [Server.ClearFaults]

	N           int
	Delay       time.Duration
	Status      int    // default 500
	RetryAfter  string // value of the header; "" omits it
	ContentType string
	Body        string // default for [Respond]: a JSON detail
}

// injected is a fault and its counters. The server's mutex guards it.
type injected struct {
	Fault
	seen, used int
}

// Inject adds faults. At most one applies to a request: the first that matches, in
// the order of injection.
func (s *Server) Inject(faults ...Fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, f := range faults {
		s.faults = append(s.faults, &injected{Fault: f})
	}
}

// ClearFaults removes all faults. Faults already applied to open requests stay in
// effect.
func (s *Server) ClearFaults() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults = nil
}

// FaultsHit returns the number of requests that a fault was applied to.
func (s *Server) FaultsHit() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.hits
}

// nextFault returns the fault of the request; its Kind is 0 if there is none.
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

// failBefore fails a request before it has any effect. It returns false for other
// kinds of faults.
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

// failAfter sends the response to a request, or fails to.
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

// wait waits for d, or forever if d is 0, or until the client leaves or the server
// closes.
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

// reset ends the connection with a TCP reset, so that the client gets an error
// immediately. If the connection cannot be hijacked, as with HTTP/2, it aborts the
// handler, which resets the HTTP/2 stream.
func reset(w http.ResponseWriter) {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	resetConn(conn)
}

// resetConn closes a connection with a TCP reset, without a TLS alert.
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

// dribble writes in small chunks.
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
