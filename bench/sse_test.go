package bench

import (
	"cmp"
	"fmt"
	"maps"
	"os"
	"runtime"
	"slices"
	"testing"
	"text/tabwriter"
	"time"
)

func TestReaders_SameStream_SameEvents(t *testing.T) {
	for _, size := range []int{100, 10_000} {
		stream, want := streamOf(50, size)
		for _, r := range readers {
			var got []event
			for e, err := range r.read(stream) {
				if err != nil {
					t.Fatalf("%s: %v", r.name, err)
				}
				got = append(got, event{e.id, slices.Clone(e.data)})
			}
			if len(got) != len(want) {
				t.Fatalf("%s: got %d events, want %d", r.name, len(got), len(want))
			}
			for i := range got {
				id, data := want[i].id, string(want[i].data)
				if r.name == "r3labs-reader" {
					id, data = "", "id: "+id+"\ndata: "+data
				}
				if got[i].id != id || string(got[i].data) != data {
					t.Fatalf("%s: got event %s %.80q, want %s %.80q", r.name, got[i].id, got[i].data, id, data)
				}
			}
		}
	}
}

func TestReader_Event_AtMostTwoAllocations(t *testing.T) {
	for size, events := range map[int]int{100: 20_000, 10_000: 1_000} {
		stream, _ := streamOf(events, size)
		// The runtime itself allocates now and then.
		if got, _ := perEvent(t, readers[0], stream, events, size); got > 2.01 {
			t.Errorf("%d bytes: got %.3f allocations, want 2: the id and the data", size, got)
		}
	}
}

// result is the cost of one stream for one reader, in the fastest pass: other load
// on the machine makes a pass slower, never faster.
type result struct {
	size          int
	reader        reader
	perEvent      time.Duration
	mbPerSecond   float64
	allocs, bytes float64 // per event
}

// results is what TestMain prints.
var results = make(map[string]result)

func BenchmarkRead(b *testing.B) {
	for _, c := range []struct {
		name         string
		events, size int
	}{{"100B", 20_000, 100}, {"10KB", 1_000, 10_000}} {
		stream, _ := streamOf(c.events, c.size)
		for _, r := range readers {
			b.Run(c.name+"/"+r.name, func(b *testing.B) {
				b.SetBytes(int64(len(stream)))
				best := time.Hour
				for b.Loop() {
					start := time.Now()
					readAll(b, r, stream, c.events, c.size)
					best = min(best, time.Since(start))
				}
				got := result{
					size: c.size, reader: r,
					perEvent:    best / time.Duration(c.events),
					mbPerSecond: float64(len(stream)) / best.Seconds() / 1e6,
				}
				got.allocs, got.bytes = perEvent(b, r, stream, c.events, c.size)
				b.ReportMetric(got.mbPerSecond, "best-MB/s")
				b.ReportMetric(got.allocs, "allocs/event")
				b.ReportMetric(got.bytes, "B/event")
				if key := b.Name(); results[key].mbPerSecond < got.mbPerSecond {
					results[key] = got
				}
			})
		}
	}
}

// readAll reads a stream and inspects it only enough to verify that all of it
// arrived.
func readAll(tb testing.TB, r reader, stream []byte, events, size int) {
	n := 0
	for e, err := range r.read(stream) {
		if err != nil || len(e.data) < size {
			tb.Fatalf("%s: got event %d of %d bytes and %v, want %d bytes", r.name, n, len(e.data), err, size)
		}
		n++
	}
	if n != events {
		tb.Fatalf("%s: got %d events, want %d", r.name, n, events)
	}
}

// perEvent returns the number and size of allocations for one more event. The cost
// of opening a stream is subtracted: it is measured by reading half a stream.
func perEvent(tb testing.TB, r reader, stream []byte, events, size int) (allocs, bytes float64) {
	tb.Helper()
	half, _ := streamOf(events/2, size)
	measure := func(stream []byte, events int) (float64, float64) {
		const runs = 4
		var before, after runtime.MemStats
		readAll(tb, r, stream, events, size)
		runtime.GC()
		runtime.ReadMemStats(&before)
		for range runs {
			readAll(tb, r, stream, events, size)
		}
		runtime.ReadMemStats(&after)
		return float64(after.Mallocs-before.Mallocs) / runs, float64(after.TotalAlloc-before.TotalAlloc) / runs
	}
	allAllocs, allBytes := measure(stream, events)
	halfAllocs, halfBytes := measure(half, events/2)
	more := float64(events - events/2)
	return (allAllocs - halfAllocs) / more, (allBytes - halfBytes) / more
}

func TestMain(m *testing.M) {
	code := m.Run()
	if len(results) > 0 {
		printTable()
	}
	os.Exit(code)
}

// printTable shows the results of each size relative to package anyframe's.
func printTable() {
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintf(w, "\ndata\treader\tMB/s\tours is\tns/event\tallocs/event\tB/event\t\n")
	sorted := slices.SortedFunc(maps.Values(results), func(a, b result) int {
		return cmp.Or(cmp.Compare(a.size, b.size), cmp.Compare(b.mbPerSecond, a.mbPerSecond))
	})
	ours := make(map[int]float64)
	for _, r := range sorted {
		if r.reader.name == readers[0].name {
			ours[r.size] = r.mbPerSecond
		}
	}
	for _, r := range sorted {
		ratio := "ours"
		if r.reader.name != readers[0].name {
			ratio = fmt.Sprintf("%.2f × as fast", ours[r.size]/r.mbPerSecond)
		}
		fmt.Fprintf(w, "%d B\t%s\t%.0f\t%s\t%d\t%.2f\t%.0f\t\n",
			r.size, r.reader.name, r.mbPerSecond, ratio, r.perEvent.Nanoseconds(), r.allocs, r.bytes)
	}
	_ = w.Flush()
	for _, r := range readers {
		if r.less != "" {
			fmt.Printf("%s does less: %s.\n", r.name, r.less)
		}
	}
}
