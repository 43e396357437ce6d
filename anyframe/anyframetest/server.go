package anyframetest

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/http"
	"slices"
	"sync"
	"time"
)

// TB is the part of testing.TB that this package uses. Spelled out here, it
// keeps package testing out of programs that embed a [Server].
type TB interface {
	Helper()
	Cleanup(func())
	Fatalf(format string, args ...any)
}

// A Server is one scripted control plane. It is an [http.Handler], so it can
// be mounted anywhere; [Server.Listen] and [Start] give it a port of its own.
type Server struct {
	settings                 // set by New, then read only
	ctx      context.Context // ends with Close; parent of every sandbox
	cancel   context.CancelFunc
	work     sync.WaitGroup // requests, turns, timers, the listener; added to with mu held
	phrases  phrasebook

	listenMu sync.Mutex // held while the port is opened or closed
	http     *http.Server
	addr     string // as bound; kept while Down

	mu          sync.Mutex // held only to look or set; never across a write
	closed      bool
	sessions    map[string]*session
	order       []*session       // by age, oldest first
	agents      []*agent         // by age
	images      map[string]image // by cache key
	connectors  []*connector
	states      map[string]int64 // of authorisations under way: the connector
	tokens      []*token
	credentials map[string]credential
	buildLogs   map[string]*build // by signature
	lastNumber  int64             // the last id given that is an integer
	failBuilds  int
	failBoots   int
	faults      []*injected
	hits        int
	requests    []Request
	counts      map[Op]int
	secrets     []string
	awake       int               // sessions with a sandbox, one on its way up or down included
	mostAwake   int               // the most there ever were
	connMu      sync.Mutex        // guards conns; may be taken with mu held, and mu never with it
	conns       map[net.Conn]bool // those with an open request
	changed     chan struct{}     // closed on the next change; nil while no goroutine waits
}

// New returns a server that listens nowhere. The caller closes it.
func New(opts ...Option) *Server {
	s := &Server{
		settings: settings{keepalive: defaultKeepalive, seqStep: 1, wordsPerDelta: 1},
		sessions: make(map[string]*session),
		images:   make(map[string]image), states: make(map[string]int64),
		credentials: make(map[string]credential), buildLogs: make(map[string]*build),
		counts: make(map[Op]int),
		conns:  make(map[net.Conn]bool),
	}
	for _, opt := range opts {
		opt(&s.settings)
	}
	if s.key == "" {
		s.key = "afm_test_" + rand.Text()
	}
	if len(s.agentSeeds) == 0 {
		s.agentSeeds = []agentSeed{{id: defaultAgentID}}
	}
	if s.defaultScript == nil {
		s.defaultScript = func(c *Chat) { c.Say("You said: " + c.Prompt()) }
	}
	s.secrets = []string{s.key}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	s.seedAgents()
	return s
}

// Start returns a server on a loopback port, closed when the test ends. A
// testing.TB is what it wants. It fails the test when there is no port.
func Start(t TB, opts ...Option) *Server {
	t.Helper()
	s := New(opts...)
	t.Cleanup(s.Close)
	if err := s.Listen("127.0.0.1:0"); err != nil {
		t.Fatalf("anyframetest: %v", err)
	}
	return s
}

// Listen opens a TCP port, for example "127.0.0.1:0", and serves on it until
// [Server.Close]. A server listens on one port only.
func (s *Server) Listen(addr string) error {
	s.listenMu.Lock()
	defer s.listenMu.Unlock()
	if s.http != nil || s.addr != "" {
		return errors.New("listen: the server has a port already")
	}
	return s.listen(addr)
}

// listen wants listenMu held.
func (s *Server) listen(addr string) error {
	ln, err := new(net.ListenConfig).Listen(s.ctx, "tcp", addr)
	if err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	srv := &http.Server{Handler: s, ReadHeaderTimeout: time.Minute, ConnState: s.connState}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		_ = ln.Close()
		return errors.New("listen: the server is closed")
	}
	s.http, s.addr = srv, ln.Addr().String()
	s.work.Go(func() { s.serve(srv, ln) })
	return nil
}

// Down makes the server unreachable: its port refuses connections and those
// that are open are cut. Sessions and their turns go on. It does nothing to a
// server without a port.
func (s *Server) Down() {
	s.listenMu.Lock()
	defer s.listenMu.Unlock()
	if s.http != nil {
		_ = s.http.Close()
		s.http = nil
	}
}

// Up makes a server that is [Server.Down] reachable again, on the same port.
func (s *Server) Up() error {
	s.listenMu.Lock()
	defer s.listenMu.Unlock()
	if s.http != nil || s.addr == "" {
		return nil
	}
	return s.listen(s.addr)
}

// URL returns the base URL of a server that listens, else "".
func (s *Server) URL() string {
	s.listenMu.Lock()
	defer s.listenMu.Unlock()
	if s.addr == "" {
		return ""
	}
	if s.cert != nil {
		return "https://" + s.addr
	}
	return "http://" + s.addr
}

// Key returns the secret key that requests must carry.
func (s *Server) Key() string { return s.key }

// AgentID returns the id of the first agent.
func (s *Server) AgentID() int64 { return s.agentSeeds[0].id }

// Close ends every event stream and every turn, closes the port and waits
// until nothing the server started is left. A second call waits as well.
func (s *Server) Close() {
	s.mu.Lock()
	if !s.closed {
		s.closed = true
		s.cancel()
		for _, sess := range s.sessions {
			sess.stopTimers()
		}
		for _, a := range s.agents {
			for _, b := range a.builds {
				b.stopTimer()
			}
		}
		for _, log := range s.journals() {
			for st := range log.streams {
				st.hurry()
			}
		}
		s.notify()
	}
	s.mu.Unlock()

	// Streams end by themselves now; let the last bytes of the answers leave
	// before the port goes.
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	_ = s.Wait(ctx, func() bool { return len(s.busyConns()) == 0 })
	s.Down()
	s.work.Wait()
}

// connState keeps track of the connections that have an open request. HTTP/2 calls it on
// the goroutine that a deadline is set by, which is done with mu held.
func (s *Server) connState(c net.Conn, state http.ConnState) {
	s.connMu.Lock()
	defer s.connMu.Unlock()
	if state == http.StateActive {
		s.conns[c] = true
		return
	}
	delete(s.conns, c)
	go func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.notify()
	}()
}

func (s *Server) busyConns() []net.Conn {
	s.connMu.Lock()
	defer s.connMu.Unlock()
	return slices.Collect(maps.Keys(s.conns))
}

// enter counts a request in; it reports false once the server is closed. The
// caller leaves with s.work.Done.
func (s *Server) enter() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return false
	}
	s.work.Add(1)
	return true
}

// after runs fn after d with mu held, unless it is stopped before or the
// server closes. The caller of after, and of the stop it returns, holds mu.
func (s *Server) after(d time.Duration, fn func()) (stop func()) {
	if s.closed {
		return func() {}
	}
	stopped := false
	s.work.Add(1)
	timer := time.AfterFunc(d, func() {
		defer s.work.Done()
		s.mu.Lock()
		defer s.mu.Unlock()
		if !stopped {
			fn()
		}
	})
	return func() {
		stopped = true
		if timer.Stop() {
			s.work.Done()
		}
	}
}

// notify wakes all goroutines that wait for a change. The caller holds mu.
func (s *Server) notify() {
	if s.changed != nil {
		close(s.changed)
		s.changed = nil
	}
}

// secret notes v as something no visitor may see, and returns it. The caller
// holds mu.
func (s *Server) secret(v string) string {
	s.secrets = append(s.secrets, v)
	return v
}

// newUUID returns a random UUID, version 4.
func newUUID() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails
	b[6] = b[6]&0x0f | 0x40
	b[8] = b[8]&0x3f | 0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}
