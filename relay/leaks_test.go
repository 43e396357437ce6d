package relay_test

import (
	"bytes"
	"context"
	"errors"
	"net"
	"net/http"
	"runtime"
	"runtime/pprof"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/anyframe-relay/relay/relay/internal/poll"
)

// wantNothingLeft fails the test if a goroutine that the relay, or since then the test,
// started is still running after both have ended.
func (r *harness) wantNothingLeft(label string) {
	pprof.SetGoroutineLabels(context.Background()) // this goroutine continues
	quoted, left := strconv.Quote(label), ""
	ended := false
	for wait := 10 * time.Millisecond; !ended && wait < patience/2; wait *= 2 {
		pause := time.NewTimer(wait)
		<-pause.C
		if !relayRuns() {
			return
		}
		all, err := stacks.since(time.Now())
		if err != nil {
			r.t.Fatal(err)
		}
		i := slices.IndexFunc(all, func(s string) bool {
			// Connections of a control plane that was brought up again belong to the
			// test.
			return strings.Contains(s, quoted) && slices.ContainsFunc(relayFunctions, func(f string) bool { return strings.Contains(s, f) })
		})
		if ended = i < 0; !ended {
			left = all[i]
			http.DefaultTransport.(*http.Transport).CloseIdleConnections()
		}
	}
	if !ended {
		r.t.Errorf("goroutine left behind:\n%s", left)
	}
}

// relayFunctions are the prefixes of the names of the relay's functions.
var relayFunctions = []string{"anyframe-relay/relay/relay.", "anyframe-relay/relay/relay/internal/"}

// relayPCs caches whether program counters are in a function of the relay's.
var relayPCs sync.Map

// relayRuns reports whether any goroutine of the process runs a function of the relay's.
// It is much cheaper than dumping the stacks, which show whose goroutine that is. A stack
// that is too deep to be captured completely counts as one.
func relayRuns() bool {
	var all []runtime.StackRecord
	for n, ok := runtime.NumGoroutine(), false; !ok; {
		all = make([]runtime.StackRecord, n+n/4+16)
		n, ok = runtime.GoroutineProfile(all)
		all = all[:min(n, len(all))]
	}
	for i := range all {
		stack := all[i].Stack()
		if len(stack) == len(all[i].Stack0) {
			return true
		}
		for _, pc := range stack {
			is, known := relayPCs.Load(pc)
			if !known {
				frames := runtime.CallersFrames([]uintptr{pc})
				for more := true; more && is != true; {
					var f runtime.Frame
					f, more = frames.Next()
					is = slices.ContainsFunc(relayFunctions, func(begin string) bool { return strings.Contains(f.Function, begin) })
				}
				relayPCs.Store(pc, is)
			}
			if is == true {
				return true
			}
		}
	}
	return false
}

// stacks caches the stacks of all goroutines for all tests that need them at the same
// time: with hundreds of waiting tests, a dump takes long.
var stacks goroutines

type goroutines struct {
	sync.Mutex

	begun, done time.Time
	all         []string
}

// since returns the stacks of all goroutines, with their labels, as of some time after t.
// At most a fifth of the time is spent dumping them.
func (s *goroutines) since(t time.Time) ([]string, error) {
	s.Lock()
	defer s.Unlock()
	if s.begun.After(t) {
		return s.all, nil
	}
	time.Sleep(4*s.done.Sub(s.begun) - time.Since(s.done))
	s.begun = time.Now()
	var text bytes.Buffer
	err := pprof.Lookup("goroutine").WriteTo(&text, 1)
	s.done, s.all = time.Now(), strings.Split(text.String(), "\n\n")
	return s.all, err
}

// beginPoller starts the poller's goroutines, which belong to the process, so that no
// test is charged with them.
func beginPoller() error {
	conn, err := net.ListenPacket("udp", "127.0.0.1:0") //nolint:noctx // does not wait
	if err != nil {
		return err
	}
	defer conn.Close()
	w, err := poll.Of(conn.(net.Conn), nil)
	if errors.Is(err, poll.ErrUnsupported) {
		return nil
	}
	if err == nil {
		w.Remove()
	}
	return err
}

// settled waits until at most most goroutines are left.
func settled(most int) bool {
	return within(func() bool {
		http.DefaultTransport.(*http.Transport).CloseIdleConnections()
		return runtime.NumGoroutine() <= most
	})
}
