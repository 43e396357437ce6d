//go:build !race

package relay_test

import (
	"io"
	"net"
	"net/http"
	"runtime/debug"
	"runtime/metrics"
	"sync"
	"testing"
	"time"
)

// Not parallel: memory that other tests use would be counted.
func TestTranscript_SixtyFourReadersThatDoNotRead_MemoryBoundedAndNeighbourServed(t *testing.T) {
	n := newNeighbour(t, nil, longTalk)
	n.r.smallBuffers()
	v := n.r.visitor()
	x := v.open("")
	v.say("long", "k1")
	x.turnEnds(1)
	x.close()
	most := peak()
	var conns []net.Conn
	for range 64 {
		conns = append(conns, v.dial("GET /v1/transcript?limit=1000 HTTP/1.1", "203.0.113.1"))
	}
	got := map[string]int{}
	for _, c := range conns {
		got[begins(t, c)]++
	}
	if got["200"] != 2 || got["429"] != 62 {
		t.Errorf("answers that begin: got %v, want 2 of 200 and 62 of 429", got)
	}
	n.chats("while 64 answers are not read")
	grown := most()
	t.Logf("64 that do not read: %d KiB of heap at most, garbage included", grown>>10)
	if grown > 128<<20 {
		t.Errorf("64 that do not read: got %d MiB more of heap, want 128 at most", grown>>20)
	}
	a := v.do("GET", "/v1/transcript", "", "X-Forwarded-For", "203.0.113.2")
	refused(t, "a third of the visitor's", a, 429, "rate_limited")
	for _, c := range conns {
		c.Close()
	}
	eventually(t, "the visitor reads again", func() bool { return v.do("GET", "/v1/transcript", "").status == http.StatusOK })

	most = peak()
	var wg sync.WaitGroup
	for range 40 {
		wg.Go(func() {
			for !t.Failed() {
				a := v.do("GET", "/v1/transcript?limit=1000", "")
				if a.status == http.StatusOK {
					return
				}
				refused(t, "one of 40", a, 429, "rate_limited")
				time.Sleep(5 * time.Millisecond)
			}
		})
	}
	n.chats("while 40 read")
	wg.Wait()
	grown = most()
	t.Logf("40 that read: %d KiB of heap at most, the tests' copies and garbage included", grown>>10)
	if grown > 128<<20 {
		t.Errorf("40 that read: got %d MiB more of heap, want 128 at most", grown>>20)
	}
}

// begins returns the status of a response that begins on c, and reads no more of it.
func begins(t *testing.T, c net.Conn) string {
	t.Helper()
	line := make([]byte, len("HTTP/1.1 200"))
	_ = c.SetReadDeadline(time.Now().Add(patience))
	if _, err := io.ReadFull(c, line); err != nil {
		t.Fatal(err)
	}
	return string(line[len("HTTP/1.1 "):])
}

// peak measures the heap, including garbage, until stop is called, which returns the
// maximum growth.
func peak() (stop func() int64) {
	// Otherwise there would be as much garbage as all memory that earlier tests left in
	// use.
	percent := debug.SetGCPercent(10)
	sample := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}}
	before, most := heap(), int64(0)
	done, over := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(over)
		for tick := time.NewTicker(time.Millisecond); ; <-tick.C {
			metrics.Read(sample)
			most = max(most, int64(sample[0].Value.Uint64()))
			select {
			case <-done:
				return
			default:
			}
		}
	}()
	return func() int64 {
		close(done)
		<-over
		debug.SetGCPercent(percent)
		return most - before
	}
}
