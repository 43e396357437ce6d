//go:build unix

package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/anyframe-relay/relay/tools/ports"
)

// startLimit is the time limit for a process to start, and to stop.
const startLimit = time.Minute

// process is a program that is killed and restarted.
type process struct {
	name string
	args []string
	env  []string
	dir  string
	// ready is the text that the program prints when it is ready. An open port would
	// not prove that, because another program might listen on the same address.
	ready string

	mu   sync.Mutex // held while it is started, ended or inspected
	cmd  *exec.Cmd
	done chan struct{} // closed when it has ended
	out  tail
}

// start starts the program and waits until it is ready.
func (p *process) start(ctx context.Context) error {
	p.mu.Lock()
	cmd := exec.Command(p.args[0], p.args[1:]...) //nolint:gosec,noctx // our own programs, which stop ends
	out := &announcement{to: &p.out, words: []byte(p.ready), said: make(chan struct{})}
	cmd.Dir, cmd.Env, cmd.Stdout, cmd.Stderr = p.dir, append(os.Environ(), p.env...), out, out
	if err := cmd.Start(); err != nil {
		p.mu.Unlock()
		return fmt.Errorf("start %s: %w", p.name, err)
	}
	done := make(chan struct{})
	p.cmd, p.done = cmd, done
	p.mu.Unlock()
	go func() { // ends with the process
		_ = cmd.Wait() // its state has the result
		close(done)
	}()
	limit := time.NewTimer(startLimit)
	defer limit.Stop()
	select {
	case <-out.said:
		return nil
	case <-done:
		return fmt.Errorf("%s ended: %s", p.name, p.out.String())
	case <-limit.C:
		return fmt.Errorf("%s is not ready: %s", p.name, p.out.String())
	case <-ctx.Done():
		return ctx.Err()
	}
}

// announcement forwards a program's output, and closes said when it contains the
// text. It is for one process, which writes from one goroutine.
type announcement struct {
	to    io.Writer
	words []byte
	said  chan struct{}
	read  []byte // until said is closed
}

func (a *announcement) Write(b []byte) (int, error) {
	if a.words != nil {
		if a.read = append(a.read, b...); bytes.Contains(a.read, a.words) {
			a.words, a.read = nil, nil
			close(a.said)
		}
	}
	return a.to.Write(b)
}

// signal sends a signal if the process is running.
func (p *process) signal(s os.Signal) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.cmd != nil {
		_ = p.cmd.Process.Signal(s) // it may have ended
	}
}

// end sends a signal, waits for the process to end, and returns its exit code, or
// -1 if the signal killed it. A process that takes too long is killed.
func (p *process) end(s os.Signal) int {
	p.mu.Lock()
	cmd, done := p.cmd, p.done
	p.cmd = nil
	p.mu.Unlock()
	if cmd == nil {
		return 0
	}
	_ = cmd.Process.Signal(s)
	_ = cmd.Process.Signal(syscall.SIGCONT) // a stopped process never ends
	select {
	case <-done:
	case <-time.After(startLimit):
		_ = cmd.Process.Kill()
		<-done
	}
	return cmd.ProcessState.ExitCode()
}

// tail keeps the end of what is written to it.
type tail struct {
	mu sync.Mutex
	b  []byte
}

func (t *tail) Write(b []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	const most = 16 << 10
	t.b = append(t.b, b...)
	t.b = t.b[max(0, len(t.b)-most):]
	return len(b), nil
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return string(t.b)
}

// panics returns the process's output about a panic or a race, "" if there is none.
func (p *process) panics() string {
	for lines := bufio.NewScanner(strings.NewReader(p.out.String())); lines.Scan(); {
		var line struct{ Msg string }
		_ = json.Unmarshal(lines.Bytes(), &line)
		if line.Msg == "panic" || bytes.HasPrefix(lines.Bytes(), []byte("panic:")) || bytes.Contains(lines.Bytes(), []byte("DATA RACE")) {
			return lines.Text()
		}
	}
	return ""
}

// newRedis starts a Redis that keeps its data and its address after a kill.
func newRedis(ctx context.Context, dir string) (p *process, url string, err error) {
	if err = os.MkdirAll(dir, 0o700); err != nil {
		return nil, "", err
	}
	err = ports.Try(ctx, func(addr string) error {
		_, port, _ := net.SplitHostPort(addr)
		p = &process{
			name: "Redis", dir: dir, ready: "Ready to accept connections",
			args: []string{"redis-server", "--bind", "127.0.0.1", "--port", port, "--dir", dir, "--save", "", "--appendonly", "yes", "--appendfsync", "everysec"},
		}
		url = "redis://" + addr
		return p.start(ctx)
	})
	return p, url, err
}

// newReplica starts a relay that keeps its address. It is ready when it listens:
// the store may be unavailable.
func newReplica(ctx context.Context, n int, program, dir string, env ...string) (p *process, addr string, err error) {
	dir = filepath.Join(dir, fmt.Sprint("relay", n))
	if err = os.MkdirAll(dir, 0o700); err != nil {
		return nil, "", err
	}
	err = ports.Try(ctx, func(free string) error {
		addr = free
		p = &process{
			name: fmt.Sprint("relay ", n), dir: dir, args: []string{program, "serve"}, ready: `"msg":"listening"`,
			env: append([]string{"RELAY_ADDR=" + addr, "RELAY_ADMIN_ADDR=", "RELAY_LOG_FORMAT=json"}, env...),
		}
		return p.start(ctx)
	})
	return p, addr, err
}
