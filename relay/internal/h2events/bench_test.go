//go:build unix

package h2events

import (
	"bytes"
	"net/http"
	"runtime"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/net/http2"
)

// BenchmarkQuiet compares the cost of a silent event stream here and in net/http, in one
// run: memory, goroutines, and CPU time per keepalive. The server writes frames directly,
// with one goroutine per connection, so that nearly all of the cost is the client's. The
// last line contains the ratios, for machines that are also doing other work:
//
//	go test -run '^$' -bench Quiet -benchtime 20x ./relay/internal/h2events
func BenchmarkQuiet(b *testing.B) {
	var ours, nets cost
	b.Run("h2events", func(b *testing.B) { ours = quiet(b, true) })
	b.Run("nethttp", func(b *testing.B) { nets = quiet(b, false) })
	b.Run("ratio", func(b *testing.B) {
		for b.Loop() {
		}
		b.ReportMetric(ours.bytes/nets.bytes, "B/B")
		b.ReportMetric(ours.micros/nets.micros, "µs/µs")
	})
}

type cost struct{ bytes, micros float64 }

func quiet(b *testing.B, own bool) (c cost) {
	const streams = 1000
	const keepalive = ": keepalive\n\n"
	var asked, came sync.WaitGroup
	asked.Add(streams)
	beat := make([]chan struct{}, 0, 2)
	var mu sync.Mutex
	s := serve(b, func(p *peer) {
		mine := make(chan struct{})
		mu.Lock()
		beat = append(beat, mine)
		mu.Unlock()
		p.settings(http2.Setting{ID: http2.SettingMaxConcurrentStreams, Val: streams})
		var ids []uint32
		for {
			select {
			case f, ok := <-p.frames:
				if !ok {
					return
				}
				if f.Type == http2.FrameHeaders {
					p.open(f.StreamID)
					ids = append(ids, f.StreamID)
					asked.Done()
				}
			case <-mine:
				var frames bytes.Buffer
				fr := http2.NewFramer(&frames, nil)
				for _, id := range ids {
					_ = fr.WriteData(id, false, []byte(keepalive))
				}
				_, _ = p.nc.Write(frames.Bytes())
			}
		}
	})
	var tr interface {
		http.RoundTripper
		CloseIdleConnections()
	} = s.base()
	if own {
		tr = New(s.base(), Options{Streams: streams})
	}
	before, goroutines := held(), runtime.NumGoroutine()
	bodies := make([]*http.Response, streams)
	for i := range bodies {
		res, err := get(b.Context(), tr, s.url)
		if err != nil {
			b.Fatal(err)
		}
		bodies[i] = res
		if body, parks := res.Body.(*stream); parks {
			park(body, &came)
			continue
		}
		go func() {
			buf := make([]byte, len(keepalive))
			for {
				if _, err := res.Body.Read(buf); err != nil {
					return
				}
				came.Done()
			}
		}()
	}
	asked.Wait()
	round := func() {
		came.Add(streams)
		for _, connection := range beat {
			connection <- struct{}{}
		}
		came.Wait()
	}
	round()
	c.bytes = float64(held()-before) / streams
	running := float64(runtime.NumGoroutine() - goroutines)
	start, rounds := spent(), 0
	for b.Loop() {
		round()
		rounds++
	}
	c.micros = float64((spent() - start).Microseconds()) / float64(rounds*streams)
	b.ReportMetric(c.bytes, "B/stream")
	b.ReportMetric(c.micros, "µs/keepalive")
	b.ReportMetric(running/streams, "goroutines/stream")
	for _, res := range bodies {
		res.Body.Close()
	}
	tr.CloseIdleConnections()
	return c
}

// park reads a stream like a parked pump: the goroutine that delivers the bytes takes
// them.
func park(body *stream, came *sync.WaitGroup) {
	var wake func()
	wake = func() {
		var buf [64]byte
		for {
			switch n, err := body.TryRead(buf[:]); {
			case err != nil:
				return
			case n > 0:
				came.Done()
			case body.Notify(wake):
				return
			}
		}
	}
	wake()
}

// held returns the memory in use, including stacks.
func held() int64 {
	var m runtime.MemStats
	for range 3 {
		runtime.GC()
	}
	runtime.ReadMemStats(&m)
	return int64(m.HeapInuse + m.StackInuse)
}

// spent returns the CPU time of this process.
func spent() time.Duration {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
