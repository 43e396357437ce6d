package stream

import (
	"bytes"
	"io"
	"net"
	"net/http/httputil"
	"runtime"
	"sync"
	"testing"

	"github.com/anyframe-relay/relay/relay/internal/eventlog"
)

// A frame is in memory once, however many streams have a part of it pending.
func TestLargeFrame_StalledStreams_NotCopied(t *testing.T) {
	const size, tabs = 14 << 20, 8
	src, streams, browsers := newIdleStreams(t, tabs)
	frame := bytes.Repeat([]byte("0123456789abcdef"), size/16)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	src.log.Append(eventlog.Entry{Seq: 1, Frame: frame})
	for _, s := range streams {
		soon(t, "a stream that waits for its browser", func() bool { return !s.isIdle() })
	}
	var wg sync.WaitGroup
	got := make([]int64, tabs)
	for i, end := range browsers {
		wg.Go(func() { got[i] = readAll(end, frame) })
	}
	wg.Wait()
	runtime.ReadMemStats(&after)
	for i, n := range got {
		if n != size {
			t.Errorf("the browser %d: got %d bytes as they are in the frame, want %d", i, n, size)
		}
	}
	if grown := after.TotalAlloc - before.TotalAlloc; grown > size/2 {
		t.Errorf("got %d bytes allocated to write a frame of %d to %d browsers, want hardly any", grown, size, tabs)
	}
}

// readAll reads as many bytes as want has, and returns how many are equal.
func readAll(from net.Conn, want []byte) (same int64) {
	r := httputil.NewChunkedReader(from)
	var buf [8 << 10]byte
	for at := 0; at < len(want); {
		n, err := r.Read(buf[:min(len(buf), len(want)-at)])
		if !bytes.Equal(buf[:n], want[at:at+n]) {
			return same
		}
		at += n
		same += int64(n)
		if err != nil && err != io.EOF {
			return same
		}
	}
	return same
}

// A browser that reads nothing keeps no more of the log in memory than one write.
func TestStalledStream_ManyFrames_HoldsOneWrite(t *testing.T) {
	entries := make([]eventlog.Entry, batch)
	for i := range entries {
		entries[i] = eventlog.Entry{Seq: int64(i + 1), Frame: make([]byte, 20<<10)}
	}
	if got := oneWrite(entries); len(got) != 3 || entries[3].Frame != nil {
		t.Errorf("got %d frames of 20 KiB, want the 3 that fit, and no other held", len(got))
	}
	for i := range entries {
		entries[i] = eventlog.Entry{Frame: make([]byte, 20<<10)}
	}
	entries[9].Seq = 1
	if got := oneWrite(entries); len(got) != 10 {
		t.Errorf("got %d frames, want the 10 that tell one event", len(got))
	}
	if got := oneWrite([]eventlog.Entry{{Frame: make([]byte, 1<<20)}}); len(got) != 1 {
		t.Errorf("got %d frames, want a large one all the same", len(got))
	}
}

// Frames of all sizes arrive at the browser whole and in order.
func TestFrames_OfAllSizes_InOrder(t *testing.T) {
	src, _, browsers := newIdleStreams(t, 1)
	var want []byte
	for i, size := range []int{10, maxChunk + 1, 3, maxPiece, maxPiece + 1, 5, 1 << 20, 200 << 10, 7} {
		frame := bytes.Repeat([]byte{'a' + byte(i)}, size)
		want = append(want, frame...)
		src.log.Append(eventlog.Entry{Seq: int64(i + 1), Frame: frame})
	}
	if got := readAll(browsers[0], want); got != int64(len(want)) {
		t.Errorf("got %d bytes in order, want %d", got, len(want))
	}
}
