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
	"time"

	"github.com/anyframe-relay/relay/relay/internal/poll"
)

// wantNothingLeft fails the test if a goroutine that the relay began, or the
// test since, goes on after both have ended.
func (r *harness) wantNothingLeft(label string) {
	pprof.SetGoroutineLabels(context.Background()) // this one does go on
	var all bytes.Buffer
	left := ""
	look := func() bool {
		all.Reset()
		if err := pprof.Lookup("goroutine").WriteTo(&all, 1); err != nil {
			r.t.Fatal(err)
		}
		stacks := strings.Split(all.String(), "\n\n")
		i := slices.IndexFunc(stacks, func(s string) bool {
			// Connections of a control plane that listens again are the test's own.
			return strings.Contains(s, strconv.Quote(label)) &&
				(strings.Contains(s, "anyframe-relay/relay/relay.") || strings.Contains(s, "anyframe-relay/relay/relay/internal/"))
		})
		if i < 0 {
			return true
		}
		left = stacks[i]
		http.DefaultTransport.(*http.Transport).CloseIdleConnections()
		return false
	}
	ended := false
	// A look is dear with so many tests at once, and nearly all have ended soon.
	for wait := 10 * time.Millisecond; !ended && wait < patience/2; wait *= 2 {
		pause := time.NewTimer(wait)
		<-pause.C
		ended = look()
	}
	if !ended {
		r.t.Errorf("goroutine left behind:\n%s", left)
	}
}

// beginPoller lets the poller's goroutines begin, which are the process's, so that
// no test has begun them.
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

// settled waits until no more goroutines than that are left.
func settled(most int) bool {
	return within(func() bool {
		http.DefaultTransport.(*http.Transport).CloseIdleConnections()
		return runtime.NumGoroutine() <= most
	})
}
