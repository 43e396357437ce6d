package main

import (
	"context"

	"golang.org/x/sys/unix"
)

// scenario is one measurement of one peer at a time.
type scenario struct {
	name  string
	title string
	// columns are the measured values, in display order.
	columns []column
	peers   []string // nil means all that need a control plane
	reps    int
	size    [2]int // visitors, in quick and in full
	// rare scenarios are omitted from quick unless they are named.
	rare bool
	// shape changes the usual options; nil changes nothing.
	shape func(*options)
	run   func(ctx context.Context, s *stage, o options) (result, error)
}

type column struct {
	name   string
	format string
	ratio  bool // shown relative to nginx's
}

// result is the values of one run, by column.
type result map[string]float64

const (
	cpuPerEvent = "CPU µs/event"
	p50         = "p50 µs"
	p99         = "p99 µs"
	p999        = "p99.9 µs"
	lost        = "lost"
	repeated    = "repeated"
	rate        = "events/s"
	rssEach     = "RSS B/stream"
	pssEach     = "PSS B/stream"
	connects    = "connects/s"
	caughtUp    = "caught up s"
	rssMiB      = "RSS MiB"
	idleCPU     = "idle CPU %"
	busyFor     = "busy s" // after the last turn's end
)

var (
	count  = func(name string) column { return column{name, "%.0f", false} }
	figure = func(name, format string) column { return column{name, format, true} }
)

var (
	chatColumns = []column{figure(cpuPerEvent, "%.1f"), figure(p50, "%.0f"), figure(p99, "%.0f"), count(p999), count(connects), count(lost), count(repeated)}
	idleColumns = []column{figure(rssEach, "%.0f"), figure(pssEach, "%.0f"), count(connects), {busyFor, "%.0f", false}, {idleCPU, "%.1f", false}}

	// both are the peers that show the effect of connections and long events.
	both = []string{"nginx", "naive Go", "floor", "relay"}
)

// over spreads the visitors over a number of HTTP/2 connections.
func over(connections int) func(*options) {
	return func(o *options) { o.connections = connections }
}

var scenarios = []scenario{
	{
		name: "chat", title: "%d visitors with one stream each, 20 events/s each", reps: 3, size: [2]int{1000, 1000},
		columns: chatColumns, run: runChat,
	},
	{
		name: "chat1", title: "the same %d visitors over one connection to AnyFrame", reps: 3, size: [2]int{1000, 1000}, rare: true,
		peers: both, columns: chatColumns, run: runChat, shape: over(1),
	},
	{
		name: "chat16", title: "the same %d visitors over sixteen connections to AnyFrame", reps: 3, size: [2]int{1000, 1000}, rare: true,
		peers: both, columns: chatColumns, run: runChat, shape: over(16),
	},
	{
		name: "long", title: "the same %d visitors with 1,000 bytes of text in each event", reps: 3, size: [2]int{1000, 1000}, rare: true,
		peers: both, columns: chatColumns, run: runChat, shape: func(o *options) { o.bytes = 1000 },
	},
	{
		name: "onecore", title: "the same %d visitors on one core", reps: 3, size: [2]int{500, 1000}, rare: true,
		peers: both, columns: chatColumns, run: runChat, shape: func(o *options) { o.cores = 1 },
	},
	{
		name: "storm", title: "%d streams disconnect at once and resume 20 events back", reps: 3, size: [2]int{1500, 5000},
		columns: []column{figure(caughtUp, "%.2f"), figure(rssMiB, "%.0f"), count(lost), count(repeated)}, run: runStorm,
	},
	{
		name: "flood", title: "%d sessions that send events as fast as possible, one write each", reps: 3, size: [2]int{50, 50},
		columns: []column{figure(rate, "%.0f"), figure(cpuPerEvent, "%.2f"), count(lost), count(repeated)}, run: runFlood,
	},
	{
		name: "idle", title: "%d idle visitors with one stream each and an open stream to AnyFrame", reps: 1, size: [2]int{2000, 9500},
		columns: idleColumns, run: runIdle,
	},
	{
		name: "many", title: "%d such visitors, possible over HTTP/2 only: each takes one file descriptor", reps: 1, size: [2]int{4000, 20000}, rare: true,
		peers: []string{"naive Go", "floor", "relay"}, columns: idleColumns, run: runIdle,
	},
	{
		name: "asleep", title: "%d tabs of visitors whose sandbox sleeps", reps: 1, size: [2]int{4000, 19000}, peers: []string{"nchan", "relay"},
		columns: []column{{rssEach, "%.0f", false}, {pssEach, "%.0f", false}, count(connects), {busyFor, "%.0f", false}, {idleCPU, "%.1f", false}},
		run:     runAsleep,
	},
	{
		name: "crowd", title: "one session with %d tabs, 20 events/s", reps: 3, size: [2]int{1000, 1000},
		peers:   []string{"direct", "nginx", "naive Go", "Node", "nchan", "relay"},
		columns: []column{figure(cpuPerEvent, "%.1f"), figure(p50, "%.0f"), figure(p99, "%.0f"), count(lost), count(repeated)},
		run:     runCrowd,
	},
	{
		name: "cold", title: "from program start to the first byte", reps: 5, size: [2]int{1, 1}, peers: []string{"relay"},
		columns: []column{{firstByte, "%.0f", false}}, run: runCold,
	},
}

// spareFiles is the number of a program's open files besides its streams.
const spareFiles = 500

// with returns the options of the scenario, with as many visitors as the scenario has, or
// as the command line and the process's limit of open files allow.
func (sc *scenario) with(o options) options {
	n := sc.size[0]
	if o.full {
		n = sc.size[1]
	}
	if o.visitors == 0 {
		o.visitors = n
	}
	if usual := o; sc.shape != nil {
		usual.visitors, usual.reps = 0, 0
		if usual.usual() {
			sc.shape(&o)
		}
	}
	var files unix.Rlimit
	if unix.Getrlimit(unix.RLIMIT_NOFILE, &files) == nil {
		o.visitors = int(min(uint64(o.visitors), files.Cur-spareFiles)) //nolint:gosec // a number of visitors
	}
	if o.connections > 0 {
		o.streams = uint32((o.visitors + o.connections - 1) / o.connections) //nolint:gosec // as above
	}
	return o
}
