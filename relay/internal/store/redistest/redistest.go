// Package redistest starts real Redis servers for tests.
package redistest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/anyframe-relay/relay/tools/ports"
)

// patience is how long a server may take to start.
const patience = 2 * time.Minute

// Server is one redis-server process on a loopback port of its own.
type Server struct {
	Addr string

	t    testing.TB
	dir  string
	args []string

	mu  sync.Mutex // held while the process is started or stopped
	cmd *exec.Cmd
}

// Start starts a server that stores nothing on disk unless its arguments say so, and
// stops it when the test ends. Without redis-server the test is skipped, or fails if
// RELAY_TEST_ALL is set.
func Start(t testing.TB, args ...string) *Server {
	t.Helper()
	return startWith(t, func() []string { return args })
}

// startWith is Start with new arguments for each address that is tried.
func startWith(t testing.TB, args func() []string) *Server {
	t.Helper()
	program, err := exec.LookPath("redis-server")
	if err != nil {
		if os.Getenv("RELAY_TEST_ALL") != "" {
			t.Fatal("redis-server is missing; run make test, or go run ./tools/setup")
		}
		t.Skip("redis-server is missing; make test installs it")
	}
	return launch(t, func(s *Server) []string {
		return append([]string{
			program, "--bind", "127.0.0.1", "--port", s.port(), "--dir", s.dir,
			"--save", "", "--appendonly", "no", "--daemonize", "no", "--logfile", filepath.Join(s.dir, "log"),
		}, args()...)
	})
}

// launch starts a server on an address of its own. Command returns the program and
// arguments for the server's address and folder.
func launch(t testing.TB, command func(*Server) []string) *Server {
	t.Helper()
	var s *Server
	err := ports.Try(t.Context(), func(addr string) error {
		s = &Server{t: t, dir: t.TempDir(), Addr: addr}
		s.args = command(s)
		if err := s.start(); err != nil {
			s.Kill()
			return err
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Kill)
	return s
}

func (s *Server) port() string {
	_, port, _ := strings.Cut(s.Addr, ":")
	return port
}

// URL returns the server's URL with timeouts long enough for a slow machine.
func (s *Server) URL() string {
	return "redis://" + s.Addr + "?dial_timeout=30s&read_timeout=30s&write_timeout=30s&pool_timeout=30s"
}

// Client returns a connection to the server that bypasses the store. It is closed when
// the test ends.
func (s *Server) Client() *redis.Client {
	c := redis.NewClient(&redis.Options{Addr: s.Addr, ReadTimeout: patience})
	s.t.Cleanup(func() { _ = c.Close() })
	return c
}

// Restart starts the process if it is not running, with the data it saved, and waits
// until it answers.
func (s *Server) Restart() {
	s.t.Helper()
	if err := s.start(); err != nil {
		s.t.Fatal(err)
	}
}

func (s *Server) start() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.cmd != nil {
		return nil
	}
	s.cmd = exec.Command(s.args[0], s.args[1:]...) //nolint:gosec,noctx // it is killed by the test's end
	endWithUs(s.cmd)
	if err := s.cmd.Start(); err != nil {
		s.cmd = nil
		return err
	}
	c := redis.NewClient(&redis.Options{Addr: s.Addr})
	defer c.Close()
	var err error
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); {
		if err = s.answers(c); err == nil {
			return nil
		}
		if log := s.log(); ports.Taken(log) {
			return fmt.Errorf("redis-server: %s", log)
		}
		timer := time.NewTimer(10 * time.Millisecond)
		<-timer.C
	}
	return fmt.Errorf("redis-server does not answer: %w\n%s", err, s.log())
}

// answers checks that the server is ready, and that it is this server: its port may have
// been taken by another.
func (s *Server) answers(c *redis.Client) error {
	if err := c.Ping(context.Background()).Err(); err != nil {
		return err
	}
	info, err := c.Info(context.Background(), "server").Result()
	if err == nil && !strings.Contains(info, fmt.Sprintf("process_id:%d\r", s.cmd.Process.Pid)) {
		err = errors.New("another server answers")
	}
	return err
}

func (s *Server) log() string {
	log, _ := os.ReadFile(filepath.Join(s.dir, "log"))
	return string(log)
}

// Kill kills the process, as a power failure would.
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

// Freeze stops the process without ending it: its connections stay open and get no
// replies.
func (s *Server) Freeze() { s.signal("-STOP") }

// Thaw resumes a frozen process.
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
