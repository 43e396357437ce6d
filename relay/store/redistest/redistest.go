// Package redistest starts real Redis servers for tests.
package redistest

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
)

// patience is how long a server may take to come up.
const patience = 2 * time.Minute

// Server is one redis-server process on a loopback port of its own.
type Server struct {
	Addr string

	t    testing.TB
	dir  string
	args []string

	mu  sync.Mutex // held while the process is started or ended
	cmd *exec.Cmd
}

// Start starts a server that keeps nothing on disk unless its arguments say so,
// and ends it with the test. Without redis-server the test is skipped, or fails
// when RELAY_TEST_ALL is set.
func Start(t testing.TB, args ...string) *Server {
	t.Helper()
	program, err := exec.LookPath("redis-server")
	if err != nil {
		if os.Getenv("RELAY_TEST_ALL") != "" {
			t.Fatal("redis-server is missing; run make test, or go run ./tools/setup")
		}
		t.Skip("redis-server is missing; make test installs it")
	}
	s := &Server{t: t, dir: t.TempDir(), Addr: freeAddr(t)}
	s.args = append([]string{
		program, "--bind", "127.0.0.1", "--port", s.port(), "--dir", s.dir,
		"--save", "", "--appendonly", "no", "--daemonize", "no", "--logfile", filepath.Join(s.dir, "log"),
	}, args...)
	s.Restart()
	t.Cleanup(s.Kill)
	return s
}

// tried counts the ports that this process has tried.
var tried atomic.Int32

// freeAddr returns an address on which nobody listens. Its port is below those
// that systems give to outgoing connections: one of them could have it before
// the server does, or while the server is down.
func freeAddr(t testing.TB) string {
	for range 1000 {
		port := 10000 + (os.Getpid()*101+int(tried.Add(1)))%10000 // and 10000 more, where a node of a cluster listens too
		l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", fmt.Sprint("127.0.0.1:", port))
		if err == nil {
			defer l.Close()
			return l.Addr().String()
		}
	}
	t.Fatal("no port is free")
	return ""
}

func (s *Server) port() string {
	_, port, _ := strings.Cut(s.Addr, ":")
	return port
}

// URL is the server's address for a store whose calls may take as long as a
// slow machine needs.
func (s *Server) URL() string {
	return "redis://" + s.Addr + "?dial_timeout=30s&read_timeout=30s&write_timeout=30s&pool_timeout=30s"
}

// Client is a connection to the server that looks behind the store's back. It
// is closed with the test.
func (s *Server) Client() *redis.Client {
	c := redis.NewClient(&redis.Options{Addr: s.Addr, ReadTimeout: patience})
	s.t.Cleanup(func() { _ = c.Close() })
	return c
}

// Restart starts the process if it does not run, with what it saved, and waits
// until it answers.
func (s *Server) Restart() {
	s.t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.cmd != nil {
		return
	}
	s.cmd = exec.Command(s.args[0], s.args[1:]...) //nolint:gosec,noctx // it is killed by the test's end
	endWithUs(s.cmd)
	if err := s.cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	c := redis.NewClient(&redis.Options{Addr: s.Addr})
	defer c.Close()
	var err error
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); {
		if err = c.Ping(context.Background()).Err(); err == nil {
			return
		}
		timer := time.NewTimer(10 * time.Millisecond)
		<-timer.C
	}
	log, _ := os.ReadFile(filepath.Join(s.dir, "log"))
	s.t.Fatalf("redis-server does not answer: %v\n%s", err, log)
}

// Kill ends the process as a power cut does.
func (s *Server) Kill() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.cmd == nil {
		return
	}
	_ = s.cmd.Process.Kill()
	_ = s.cmd.Wait()
	s.cmd = nil
}

// Freeze stops the process without ending it, so that its connections stay open
// and nobody answers.
func (s *Server) Freeze() { s.signal("-STOP") }

// Thaw lets a frozen process go on.
func (s *Server) Thaw() { s.signal("-CONT") }

func (s *Server) signal(sig string) {
	s.t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	pid := strconv.Itoa(s.cmd.Process.Pid)
	if out, err := exec.Command("kill", sig, pid).CombinedOutput(); err != nil { //nolint:noctx // ends by itself
		s.t.Fatalf("kill %s: %v %s", sig, err, out)
	}
}
