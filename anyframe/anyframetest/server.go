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

// TB is the part of testing.TB that this package uses. It is declared here to keep
// package testing out of programs that embed a [Server].
type TB interface {
	Helper()
	Cleanup(func())
	Fatalf(format string, args ...any)
}

// A Server is one scripted control plane. It is an [http.Handler], so it can be
// mounted anywhere; [Server.Listen] and [Start] give it its own port.
type Server struct {
	settings                 // set by New, then read-only
	ctx      context.Context // ends with Close; parent of every sandbox
	cancel   context.CancelFunc
	work     sync.WaitGroup // requests, turns, timers, the listener; Add is called with mu held
	phrases  phrasebook

	listenMu sync.Mutex // held while the port is opened or closed
	http     *http.Server
	addr     string // as bound; kept while Down

	mu          sync.Mutex // held only for reads and changes of the state, never across a write
	closed      bool
	sessions    map[string]*session
	order       []*session       // by age, oldest first
	agents      []*agent         // by age
	images      map[string]image // by cache key
	connectors  []*connector
	states      map[string]int64 // of pending authorizations: the connector
	tokens      []*token
	credentials map[string]credential
	buildLogs   map[string]*build // by signature
	lastNumber  int64             // the last integer id
	failBuilds  int
	failBoots   int
	faults      []*injected
	hits        int
	requests    []Request
	counts      map[Op]int
	secrets     []string
	awake       int               // sessions with a sandbox, including booting and snapshotting ones
	mostAwake   int               // the maximum of awake
	connMu      sync.Mutex        // guards conns; may be acquired with mu held, but not the other way round
	conns       map[net.Conn]bool // those with an open request
	changed     chan struct{}     // closed on the next change; nil while no goroutine waits
}

// New returns a server that does not listen. The caller must close it.
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

// Start returns a server on a loopback port, which is closed when the test ends.
// Pass a testing.TB as t. Start fails the test if there is no port.
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

// listen must be called with listenMu held.
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

// Down makes the server unreachable: its port refuses connections, and open ones
// are reset. Sessions and their turns continue. It does nothing if the server has
// no port.
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

// URL returns the base URL of a listening server, otherwise "".
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

// Key returns the secret key that requests must contain.
func (s *Server) Key() string { return s.key }

// AgentID returns the id of the first agent.
func (s *Server) AgentID() int64 { return s.agentSeeds[0].id }

// Close ends every event stream and every turn, closes the port and waits for all
// of the server's goroutines. A second call waits too.
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

	// Streams end by themselves now; let the last bytes of the responses leave before
	// the port closes.
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	_ = s.Wait(ctx, func() bool { return len(s.busyConns()) == 0 })
	s.Down()
	s.work.Wait()
}

// connState tracks the connections that have an open request. HTTP/2 calls it on
// the goroutine that sets a deadline, which happens with mu held.
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

// enter counts a request; it returns false after the server is closed. The caller
// calls s.work.Done at the end.
func (s *Server) enter() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return false
	}
	s.work.Add(1)
	return true
}

// after runs fn after d with mu held, unless it is stopped before or the server
// closes. The caller of after, and of the stop function it returns, holds mu.
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

// secret records that no visitor may see v, and returns it. The caller holds mu.
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
