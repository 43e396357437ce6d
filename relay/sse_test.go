package relay_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// event is one event as a browser receives it.
type event struct {
	id, kind, data string
	json           map[string]any
}

func (e event) String() string { return fmt.Sprintf("%s %s %s", e.id, e.kind, e.data) }

func (e event) str(key string) string {
	s, _ := e.json[key].(string)
	return s
}

// stream is one open event stream.
type stream struct {
	t      *testing.T
	cancel context.CancelFunc
	res    *http.Response
	done   chan struct{}

	mu     sync.Mutex
	events []event
	raw    strings.Builder
	retry  string
	grew   chan struct{}
}

// read is the tests' own reader of event streams, so that a bug in the client's reader
// cannot hide one in the relay's writer.
func (x *stream) read() {
	defer close(x.done)
	defer x.res.Body.Close()
	lines := bufio.NewReader(x.res.Body)
	var e event
	var data bool // the frame has data
	for {
		line, err := lines.ReadString('\n')
		if err != nil {
			return // half a frame does not count
		}
		x.mu.Lock()
		x.raw.WriteString(line)
		line = strings.TrimSuffix(line, "\n")
		switch field, value, _ := strings.Cut(line, ":"); {
		case line == "":
			if data {
				_ = json.Unmarshal([]byte(e.data), &e.json)
				documented().event(e.kind, e.data)
				x.events = append(x.events, e)
			}
			e, data = event{}, false
		case field == "id":
			e.id = strings.TrimPrefix(value, " ")
		case field == "event":
			e.kind = strings.TrimPrefix(value, " ")
		case field == "data":
			e.data, data = e.data+strings.TrimPrefix(value, " "), true
		case field == "retry":
			x.retry = strings.TrimPrefix(value, " ")
		}
		x.mu.Unlock()
		if line != "" {
			continue // readers wait for whole events
		}
		select {
		case x.grew <- struct{}{}:
		default:
		}
	}
}

func (x *stream) close() {
	x.cancel()
	<-x.done
}

func (x *stream) all() []event {
	x.mu.Lock()
	defer x.mu.Unlock()
	return slices.Clip(x.events) // events are only ever added
}

// until waits until cond holds for all events so far, and returns them.
func (x *stream) until(what string, cond func([]event) bool) []event {
	x.t.Helper()
	timeout := time.NewTimer(patience)
	defer timeout.Stop()
	for {
		if got := x.all(); cond(got) {
			return got
		}
		select {
		case <-x.grew:
		case <-x.done:
			if got := x.all(); cond(got) {
				return got
			}
			x.t.Fatalf("the stream ended before %s; got\n%s", what, lines(x.all()))
		case <-timeout.C:
			x.t.Fatalf("%s did not come; got\n%s", what, lines(x.all()))
		}
	}
}

// ended waits until the stream has ended.
func (x *stream) ended() []event {
	x.t.Helper()
	select {
	case <-x.done:
	case <-time.After(patience):
		x.t.Fatal("the stream did not end")
	}
	return x.all()
}

func lines[T fmt.Stringer](events []T) string {
	var b strings.Builder
	for _, e := range events {
		b.WriteString("  " + e.String() + "\n")
	}
	return b.String()
}

func count(events []event, kind string) (n int) {
	for _, e := range events {
		if e.kind == kind {
			n++
		}
	}
	return n
}

// latest returns the last event of a kind; the last event of all may be of another kind.
func latest(events []event, kind string) event {
	for _, e := range slices.Backward(events) {
		if e.kind == kind {
			return e
		}
	}
	return event{}
}

// turnEnds waits for the n-th end of a turn.
func (x *stream) turnEnds(n int) []event {
	x.t.Helper()
	return x.until(fmt.Sprintf("turn end %d", n), func(es []event) bool { return count(es, "turn_end") >= n })
}

// status waits for a session event with this status.
func (x *stream) status(want string) {
	x.t.Helper()
	x.until("status "+want, func(es []event) bool {
		return slices.ContainsFunc(es, func(e event) bool { return e.kind == "session" && e.str("status") == want })
	})
}

// stands waits until this is the last status on the stream.
func (x *stream) stands(want string) {
	x.t.Helper()
	x.until("status "+want+" at last", func(es []event) bool {
		last := statuses(es)
		return len(last) > 0 && strings.HasSuffix(last[len(last)-1], " "+want)
	})
}

// statuses returns the statuses on a stream, in order.
func statuses(events []event) []string {
	var all []string
	for _, e := range events {
		if e.kind == "session" {
			all = append(all, fmt.Sprintf("%v %s", e.json["epoch"], e.str("status")))
		}
	}
	return all
}

// resets returns the reasons of a stream's resets.
func resets(events []event) []string {
	var all []string
	for _, e := range events {
		if e.kind == "reset" {
			all = append(all, e.str("reason"))
		}
	}
	return all
}

// lastLife returns the events since the last reset.
func lastLife(events []event) []event {
	for i, e := range slices.Backward(events) {
		if e.kind == "reset" {
			return events[i:]
		}
	}
	return events
}
