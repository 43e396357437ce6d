package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// process is a running program and its children.
type process struct {
	cmd  *exec.Cmd
	log  string
	done chan struct{}
}

// start runs a program and waits until it listens on all addresses.
func start(ctx context.Context, dir string, listen, env []string, name string, args ...string) (*process, error) {
	log := filepath.Join(dir, filepath.Base(name)+".log")
	out, err := os.Create(log) //nolint:gosec // a folder of our own
	if err != nil {
		return nil, err
	}
	defer out.Close()
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = dir, out, out
	cmd.Env = append(os.Environ(), env...)
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	p := &process{cmd: cmd, log: log, done: make(chan struct{})}
	go func() {
		_ = cmd.Wait() // this process ends it
		close(p.done)
	}()
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); time.Sleep(time.Millisecond) {
		select {
		case <-p.done:
			return nil, fmt.Errorf("%s ended:\n%s", name, p.tail())
		default:
		}
		if c, err := net.DialTimeout("tcp", listen[0], time.Second); err == nil {
			_ = c.Close()
			if listen = listen[1:]; len(listen) == 0 {
				return p, nil
			}
		}
	}
	p.stop()
	return nil, fmt.Errorf("%s does not listen:\n%s", name, p.tail())
}

func (p *process) tail() string {
	b, _ := os.ReadFile(p.log)
	return string(b[max(len(b)-2000, 0):])
}

func (p *process) stop() {
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-p.done:
	case <-time.After(3 * time.Second):
		_ = p.cmd.Process.Kill()
		<-p.done
	}
}

// pids are those of the program and its children.
func (p *process) pids() []int {
	all := []int{p.cmd.Process.Pid}
	for i := 0; i < len(all); i++ {
		tasks, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", all[i]))
		for _, task := range tasks {
			b, _ := os.ReadFile(task) //nolint:gosec // of /proc
			for _, f := range strings.Fields(string(b)) {
				if pid, err := strconv.Atoi(f); err == nil {
					all = append(all, pid)
				}
			}
		}
	}
	return all
}

// cpu returns the program's processor time, in seconds.
func (p *process) cpu() float64 {
	var sum float64
	for _, pid := range p.pids() {
		sum += cpuOf(pid).Seconds()
	}
	return sum
}

// memory returns the program's memory in bytes: resident, with a share of each
// shared page.
func (p *process) memory() (rss, pss float64) {
	for _, pid := range p.pids() {
		f, err := os.Open(fmt.Sprintf("/proc/%d/smaps_rollup", pid))
		if err != nil {
			continue
		}
		for lines := bufio.NewScanner(f); lines.Scan(); {
			var kb float64
			switch {
			case scan(lines.Text(), "Rss:", &kb):
				rss += kb * 1024
			case scan(lines.Text(), "Pss:", &kb):
				pss += kb * 1024
			}
		}
		_ = f.Close()
	}
	return rss, pss
}

func scan(line, name string, kb *float64) bool {
	rest, ok := strings.CutPrefix(line, name)
	if ok {
		_, _ = fmt.Sscan(rest, kb)
	}
	return ok
}

// firstLine returns the first line of a program's output.
func firstLine(ctx context.Context, name string, args ...string) string {
	out, err := exec.CommandContext(ctx, name, args...).CombinedOutput()
	if errors.Is(err, exec.ErrNotFound) {
		return ""
	}
	line, _, _ := strings.Cut(string(out), "\n")
	return strings.TrimSpace(line)
}
