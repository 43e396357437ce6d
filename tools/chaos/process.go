//go:build unix

package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"
)

// startLimit is how long a process may take to come up, and to go.
const startLimit = time.Minute

// process is a program that is killed and started again.
type process struct {
	name string
	args []string
	env  []string
	dir  string
	// ready reports whether the program, once started, can do its work.
	ready func(context.Context) error

	mu   sync.Mutex // held while it is started, ended or looked at
	cmd  *exec.Cmd
	done chan struct{} // closed when it has ended
	out  tail
}

// start starts the program and waits until it is ready.
func (p *process) start(ctx context.Context) error {
	p.mu.Lock()
	cmd := exec.Command(p.args[0], p.args[1:]...) //nolint:gosec,noctx // our own programs, which stop ends
	cmd.Dir, cmd.Env, cmd.Stdout, cmd.Stderr = p.dir, append(os.Environ(), p.env...), &p.out, &p.out
	if err := cmd.Start(); err != nil {
		p.mu.Unlock()
		return fmt.Errorf("start %s: %w", p.name, err)
	}
	done := make(chan struct{})
	p.cmd, p.done = cmd, done
	p.mu.Unlock()
	go func() { // ends with the process
		_ = cmd.Wait() // how it ended is asked of its state
		close(done)
	}()
	var err error
	for deadline := time.Now().Add(startLimit); time.Now().Before(deadline) && ctx.Err() == nil; {
		if err = p.ready(ctx); err == nil {
			return nil
		}
		select {
		case <-done:
			return fmt.Errorf("%s ended: %s", p.name, p.out.String())
		case <-time.After(20 * time.Millisecond):
		case <-ctx.Done():
		}
	}
	return fmt.Errorf("%s does not answer: %w; %s", p.name, errors.Join(err, ctx.Err()), p.out.String())
}

// signal sends a signal, if the process runs.
func (p *process) signal(s os.Signal) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.cmd != nil {
		_ = p.cmd.Process.Signal(s) // it may have ended
	}
}

// end sends a signal, waits for the process to end, and returns its exit code,
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
	_ = cmd.Process.Signal(syscall.SIGCONT) // one that is stopped never ends
	select {
	case <-done:
	case <-time.After(startLimit):
		_ = cmd.Process.Kill()
		<-done
	}
	return cmd.ProcessState.ExitCode()
}

// tail keeps the last of what is written to it.
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

// panics returns what the process said of a panic or a race, "" if nothing.
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

func freeAddr(ctx context.Context) (string, error) {
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer l.Close()
	return l.Addr().String(), nil
}

// newRedis is a Redis that keeps what it has over a kill.
func newRedis(ctx context.Context, dir string) (p *process, url string, err error) {
	addr, err := freeAddr(ctx)
	if err != nil {
		return nil, "", err
	}
	if err = os.MkdirAll(dir, 0o700); err != nil {
		return nil, "", err
	}
	_, port, _ := net.SplitHostPort(addr)
	p = &process{
		name: "Redis", dir: dir,
		args: []string{"redis-server", "--bind", "127.0.0.1", "--port", port, "--dir", dir, "--save", "", "--appendonly", "yes", "--appendfsync", "everysec"},
		ready: func(ctx context.Context) error {
			conn, err := new(net.Dialer).DialContext(ctx, "tcp", addr)
			if err != nil {
				return err
			}
			defer conn.Close()
			_ = conn.SetDeadline(time.Now().Add(time.Second))
			if _, err = conn.Write([]byte("PING\r\n")); err != nil {
				return err
			}
			said, err := bufio.NewReader(conn).ReadString('\n')
			if err == nil && said != "+PONG\r\n" {
				err = errors.New(strings.TrimSpace(said)) // it still reads its file
			}
			return err
		},
	}
	return p, "redis://" + addr, nil
}

// newReplica is a relay on an address that it keeps.
func newReplica(ctx context.Context, n int, program, dir string, env ...string) (p *process, addr string, err error) {
	if addr, err = freeAddr(ctx); err != nil {
		return nil, "", err
	}
	dir = filepath.Join(dir, fmt.Sprint("relay", n))
	if err = os.MkdirAll(dir, 0o700); err != nil {
		return nil, "", err
	}
	p = &process{
		name: fmt.Sprint("relay ", n), dir: dir, args: []string{program, "serve"},
		env: append([]string{"RELAY_ADDR=" + addr, "RELAY_ADMIN_ADDR=", "RELAY_LOG_FORMAT=json"}, env...),
		ready: func(ctx context.Context) error { // alive will do: the store may be away
			ctx, cancel := context.WithTimeout(ctx, time.Second)
			defer cancel()
			req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+addr+"/healthz", nil)
			if err != nil {
				return err
			}
			res, err := http.DefaultClient.Do(req)
			if err != nil {
				return err
			}
			_, _ = io.Copy(io.Discard, res.Body)
			return res.Body.Close()
		},
	}
	return p, addr, nil
}
