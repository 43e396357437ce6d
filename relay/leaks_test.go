package relay_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"runtime"
	"runtime/pprof"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/anyframe-relay/relay/relay/internal/eventlog"
	"github.com/anyframe-relay/relay/relay/internal/poll"
	"github.com/anyframe-relay/relay/tools/testtools"
)

// maxLeft is how long a relay's goroutines may run after it has stopped.
const maxLeft = patience / 2

// leaks finds goroutines that run long after their relay has stopped, even if they end
// before the other tests do. Tests do not wait for it: with hundreds of goroutines, a
// dump of their stacks takes long.
type leaks struct {
	mu      sync.Mutex
	stopped map[string]time.Time // by the harness's name, quoted
	found   []string             // stacks
}

var left = leaks{stopped: map[string]time.Time{}}

// stop records that the relay of a harness has stopped for good.
func (l *leaks) stop(name string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.stopped[strconv.Quote(name)] = time.Now()
}

// watch looks for leaks until the process ends.
func (l *leaks) watch() {
	for range time.Tick(maxLeft / 4) {
		l.look(time.Now().Add(-maxLeft))
	}
}

// told writes the leaks to w, and reports whether there are any.
func (l *leaks) told(w io.Writer) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, leak := range l.found {
		fmt.Fprintln(w, leak)
	}
	return len(l.found) > 0
}

// look finds the goroutines of relays that stopped before t.
func (l *leaks) look(t time.Time) {
	var text bytes.Buffer
	if err := pprof.Lookup("goroutine").WriteTo(&text, 1); err != nil {
		panic(err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for stack := range strings.SplitSeq(text.String(), "\n\n") {
		// Connections of a control plane that was brought up again belong to the test.
		if !strings.Contains(stack, "anyframe-relay/relay/relay.") && !strings.Contains(stack, "anyframe-relay/relay/relay/internal/") {
			continue
		}
		_, label, _ := strings.Cut(stack, `{"harness":`)
		label, _, _ = strings.Cut(label, "}")
		if stopped, ok := l.stopped[label]; ok && stopped.Before(t) {
			l.found = append(l.found, fmt.Sprintf("a goroutine runs %v after its relay has stopped:\n%s", time.Since(stopped), stack))
		}
	}
}

func TestLeaks_GoroutineOfStoppedRelay_Found(t *testing.T) {
	t.Parallel()
	r := newHarness(t, nil)
	released, ended := make(chan struct{}), make(chan struct{})
	log := eventlog.New(0, eventlog.Limits{})
	log.Watch(func() { <-released })
	go func() {
		defer close(ended)
		log.Notify()
	}()
	found := func(stopped ...string) int {
		l := leaks{stopped: map[string]time.Time{}}
		for _, name := range stopped {
			l.stop(name)
		}
		l.look(time.Now().Add(time.Minute)) // a minute after
		return len(l.found)
	}
	if got := found(); got != 0 {
		t.Errorf("while the relay runs: got %d leaks, want none", got)
	}
	eventually(t, "the goroutine is found", func() bool { return found(r.name) > 0 })
	r.stop()
	eventually(t, "it is the only one", func() bool { return found(r.name) == 1 })
	close(released)
	<-ended
	eventually(t, "it is gone", func() bool { return found(r.name) == 0 })
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
		testtools.Client.CloseIdleConnections()
		return runtime.NumGoroutine() <= most
	})
}
