package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"
)

// scenario is one thing that is measured, of one peer at a time.
type scenario struct {
	name  string
	title string
	// columns are what is measured, in the order in which it is shown.
	columns []column
	peers   []string // nil means all that need a control plane
	reps    int
	run     func(ctx context.Context, s *stage, full bool) (result, error)
}

type column struct {
	name   string
	format string
	ratio  bool // shown beside nginx's
}

// result is what one run measured, by column.
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
)

var (
	count  = func(name string) column { return column{name, "%.0f", false} }
	figure = func(name, format string) column { return column{name, format, true} }
)

var scenarios = []scenario{
	{
		name: "chat", title: "%d visitors with one stream each, 20 events/s each", reps: 3,
		columns: []column{figure(cpuPerEvent, "%.1f"), figure(p50, "%.0f"), figure(p99, "%.0f"), count(p999), count(connects), count(lost), count(repeated)},
		run:     runChat,
	},
	{
		name: "storm", title: "%d streams drop at once and resume 20 events back", reps: 3,
		columns: []column{figure(caughtUp, "%.2f"), figure(rssMiB, "%.0f"), count(lost), count(repeated)},
		run:     runStorm,
	},
	{
		name: "flood", title: "%d sessions, events as fast as they are taken, one write each", reps: 3,
		columns: []column{figure(rate, "%.0f"), figure(cpuPerEvent, "%.2f"), count(lost), count(repeated)},
		run:     runFlood,
	},
	{
		name: "idle", title: "%d visitors who say nothing, one stream each, AnyFrame's stream open", reps: 1,
		columns: []column{figure(rssEach, "%.0f"), figure(pssEach, "%.0f"), count(connects), {idleCPU, "%.1f", false}},
		run:     runIdle,
	},
	{
		name: "asleep", title: "%d tabs of visitors whose session does not run", reps: 1, peers: []string{"nchan", "relay"},
		columns: []column{{rssEach, "%.0f", false}, {pssEach, "%.0f", false}, count(connects), {idleCPU, "%.1f", false}},
		run:     runAsleep,
	},
	{
		name: "crowd", title: "one session with %d tabs, 20 events/s", reps: 3,
		peers:   []string{"direct", "nginx", "naive Go", "Node", "nchan", "relay"},
		columns: []column{figure(cpuPerEvent, "%.1f"), figure(p50, "%.0f"), figure(p99, "%.0f"), count(lost), count(repeated)},
		run:     runCrowd,
	},
	{
		name: "cold", title: "from the start of the program to its first byte", reps: 5, peers: []string{"relay"},
		columns: []column{{firstByte, "%.0f", false}}, run: runCold,
	},
}

// size is how large a scenario is made.
func size(name string, full bool) int {
	sizes := map[string][2]int{"chat": {1000, 1000}, "storm": {1500, 5000}, "flood": {50, 50}, "idle": {2000, 9500}, "asleep": {4000, 19000}, "crowd": {1000, 1000}, "cold": {1, 1}}
	if full {
		return sizes[name][1]
	}
	return sizes[name][0]
}

const (
	eventRate = 20
	atOnce    = 128 // streams opened at the same time
	patience  = 20 * time.Second
)

// seconds is how long the events go on.
func seconds(full bool) int {
	if full {
		return 8
	}
	return 3
}

// opened makes visitors and opens their streams.
func opened(ctx context.Context, s *stage, n int, asleep bool) (*fleet, time.Duration, error) {
	f, err := s.visitors(ctx, n, asleep)
	if err != nil {
		return nil, 0, err
	}
	took, err := f.openAll(ctx, atOnce, nil)
	return f, took, err
}

// spoken adds what the events themselves tell.
func (f *fleet) spoken(r result) {
	r[p50], r[p99], r[p999] = f.latency.quantile(.5), f.latency.quantile(.99), f.latency.quantile(.999)
	r[lost], r[repeated] = float64(f.lost.Load()), float64(f.repeated.Load())
}

func (f *fleet) unbroken() error {
	if n := f.broken.Load(); n > 0 {
		return fmt.Errorf("%d streams ended before their time", n)
	}
	return nil
}

// steady plays events at the usual rate, the first second of which does not
// count, and measures.
func (f *fleet) steady(ctx context.Context, s *stage, full bool, play func(context.Context, float64, int) error) (result, error) {
	n := int64(len(f.streams))
	if err := play(ctx, eventRate, eventRate); err != nil {
		return nil, err
	}
	if err := f.await(n*eventRate, patience); err != nil {
		return nil, err
	}
	f.latency.reset()
	events := eventRate * seconds(full)
	defer s.profile(ctx, seconds(full))()
	before := s.cpu()
	if err := play(ctx, eventRate, events); err != nil {
		return nil, err
	}
	want := n * int64(eventRate+events)
	if err := f.await(want, patience); err != nil {
		return nil, err
	}
	r := result{cpuPerEvent: (s.cpu() - before) * 1e6 / float64(n*int64(events))}
	f.spoken(r)
	return r, f.unbroken()
}

func runChat(ctx context.Context, s *stage, full bool) (result, error) {
	f, took, err := opened(ctx, s, size("chat", full), false)
	if err != nil {
		return nil, err
	}
	defer f.closeAll()
	r, err := f.steady(ctx, s, full, s.play)
	if err == nil {
		r[connects] = float64(len(f.streams)) / took.Seconds()
	}
	return r, err
}

func runStorm(ctx context.Context, s *stage, full bool) (result, error) {
	const back = 20
	f, _, err := opened(ctx, s, size("storm", full), false)
	if err != nil {
		return nil, err
	}
	defer func() { f.closeAll() }()
	const events = 30
	n := int64(len(f.streams))
	if err := s.play(ctx, 5, events); err != nil {
		return nil, err
	}
	if err := f.await(n*events, patience); err != nil {
		return nil, err
	}
	f.closeAll()
	for _, t := range f.streams {
		t.last = events - back
	}
	f.got.Store(0)
	defer s.profile(ctx, 1)()
	begun := time.Now()
	// The message is the session's first event; then come those that count.
	if _, err = f.openAll(ctx, 1024, func(t *tab) string { return fmt.Sprintf("%s%d", t.idPath, 1+events-back) }); err != nil {
		return nil, err
	}
	if err := f.await(n*back, patience); err != nil {
		return nil, err
	}
	r := result{caughtUp: time.Since(begun).Seconds()}
	f.spoken(r)
	if s.proc != nil {
		s.settled()
		rss, _ := s.proc.memory()
		r[rssMiB] = rss / (1 << 20)
	}
	return r, f.unbroken()
}

func runFlood(ctx context.Context, s *stage, full bool) (result, error) {
	f, _, err := opened(ctx, s, size("flood", full), false)
	if err != nil {
		return nil, err
	}
	defer f.closeAll()
	n := int64(len(f.streams))
	events := 1000 * seconds(full)
	if err := s.play(ctx, 0, 200); err != nil {
		return nil, err
	}
	if err := f.await(n*200, patience); err != nil {
		return nil, err
	}
	f.latency.reset()
	defer s.profile(ctx, seconds(full))()
	before, begun := s.cpu(), time.Now()
	if err := s.play(ctx, 0, events); err != nil {
		return nil, err
	}
	if err := f.await(n*int64(200+events), patience); err != nil {
		return nil, err
	}
	all := float64(n) * float64(events)
	r := result{rate: all / time.Since(begun).Seconds(), cpuPerEvent: (s.cpu() - before) * 1e6 / all}
	f.spoken(r)
	return r, f.unbroken()
}

func runIdle(ctx context.Context, s *stage, full bool) (result, error) {
	return rest(ctx, s, size("idle", full), false)
}

func runAsleep(ctx context.Context, s *stage, full bool) (result, error) {
	return rest(ctx, s, size("asleep", full), true)
}

// rest measures what streams hold on which nothing happens. What the program
// holds without any is not counted.
func rest(ctx context.Context, s *stage, n int, asleep bool) (result, error) {
	if s.proc == nil {
		return result{}, nil
	}
	s.settled()
	rss0, pss0 := s.proc.memory()
	f, took, err := opened(ctx, s, n, asleep)
	if err != nil {
		return nil, err
	}
	defer f.closeAll()
	if !asleep {
		if err := s.post(ctx, "http://"+s.plane+"/bench/end", "", "", nil); err != nil {
			return nil, err
		}
	}
	s.http.CloseIdleConnections()
	time.Sleep(2 * time.Second)
	s.settled()
	rss, pss := s.proc.memory()
	s.heap(ctx)
	const watched = 24 * time.Second // two heartbeats, and two looks at the store
	before := s.cpu()
	time.Sleep(watched)
	return result{
		rssEach: (rss - rss0) / float64(n), pssEach: (pss - pss0) / float64(n), connects: float64(n) / took.Seconds(),
		idleCPU: 100 * (s.cpu() - before) / watched.Seconds(),
	}, f.unbroken()
}

func runCrowd(ctx context.Context, s *stage, full bool) (result, error) {
	f, err := s.visitors(ctx, 1, false)
	if err != nil {
		return nil, err
	}
	one := f.streams[0]
	for i := 1; i < size("crowd", full); i++ {
		f.streams = append(f.streams, &tab{fleet: f, number: i, path: one.path, token: one.token, idPath: one.idPath})
	}
	if _, err := f.openAll(ctx, atOnce, nil); err != nil {
		return nil, err
	}
	defer f.closeAll()
	if s.peer.alone {
		seq := 0
		return f.steady(ctx, s, full, func(ctx context.Context, rate float64, events int) error {
			seq += events
			return s.publish(ctx, rate, seq-events, events)
		})
	}
	return f.steady(ctx, s, full, s.play)
}

// measured is one run as it is kept.
type measured struct {
	Scenario string `json:"scenario"`
	Peer     string `json:"peer"`
	Size     int    `json:"size"`
	Result   result `json:"result"`
}

// measure runs every scenario with every peer in turn, again and again.
func measure(ctx context.Context, full bool, onlyScenarios, onlyPeers []string) error {
	dir, err := os.MkdirTemp("", "load-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	self, err := os.Executable()
	if err != nil {
		return err
	}
	binary := os.Getenv("RELAY_BINARY")
	if binary == "" {
		binary = filepath.Join(dir, "relay")
		build := exec.CommandContext(ctx, "go", "build", "-o", binary, "./cmd/relay") //nolint:gosec // our own folder
		build.Dir = ".."
		build.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := build.CombinedOutput(); err != nil {
			return fmt.Errorf("build the relay: %w\n%s", err, out)
		}
	}
	facts := machine(ctx)
	var all []measured
	missing := map[string]bool{}
	var failed []string // and why
	for _, sc := range scenarios {
		if onlyScenarios != nil && !slices.Contains(onlyScenarios, sc.name) {
			continue
		}
		for rep := range sc.reps {
			inTurn := slices.Clone(peers)
			if rep%2 == 1 { // so that nobody always comes after the same one
				slices.Reverse(inTurn)
			}
			for _, p := range inTurn {
				if (sc.peers == nil && p.alone) || (sc.peers != nil && !slices.Contains(sc.peers, p.name)) ||
					(onlyPeers != nil && !slices.Contains(onlyPeers, p.name)) || missing[p.name] {
					continue
				}
				r, err := once(ctx, sc, p, self, binary, full)
				if errors.Is(err, errNoPeer) {
					missing[p.name] = true
					continue
				}
				if err != nil && (p.ours || ctx.Err() != nil) {
					return fmt.Errorf("%s, %s: %w", sc.name, p.name, err)
				}
				if err != nil { // a peer that can't do it is no reason to lose the rest
					failed = append(failed, fmt.Sprintf("%s could not do %s, run %d of %d: %s.", p.name, sc.name, rep+1, sc.reps, brief(err)))
					fmt.Fprintf(os.Stderr, "%s\n%v\n", failed[len(failed)-1], err)
					continue
				}
				fmt.Fprintf(os.Stderr, "%s %d/%d %s: %v\n", sc.name, rep+1, sc.reps, p.name, r)
				all = append(all, measured{sc.name, p.name, size(sc.name, full), r})
			}
		}
	}
	return report(facts, full && onlyScenarios == nil && onlyPeers == nil, all, missing, failed)
}

// brief is what went wrong, and the last words of the program that it went wrong
// with, if it left any.
func brief(err error) string {
	lines := strings.Split(strings.TrimSpace(err.Error()), "\n")
	if len(lines) == 1 {
		return lines[0]
	}
	last := lines[len(lines)-1]
	return lines[0] + " " + last[:min(len(last), 300)]
}

func once(ctx context.Context, sc scenario, p peer, self, binary string, full bool) (result, error) {
	s, err := raise(ctx, p, self, binary)
	if err != nil {
		return nil, err
	}
	defer s.strike()
	r, err := sc.run(ctx, s, full)
	if err != nil && s.proc != nil {
		err = fmt.Errorf("%w\n%s", err, s.proc.tail())
	}
	return r, err
}

// machine is what the figures were measured on.
func machine(ctx context.Context) map[string]string {
	load, _ := os.ReadFile("/proc/loadavg")
	facts := map[string]string{
		"date": time.Now().UTC().Format(time.DateOnly), "go": runtime.Version(), "cores": fmt.Sprint(runtime.NumCPU()),
		"processor": processor(), "kernel": firstLine(ctx, "uname", "-sr"), "load average at the start": string(load[:min(len(load), 14)]),
		"relay": firstLine(ctx, "git", "describe", "--always", "--dirty"),
		"nginx": firstLine(ctx, "nginx", "-v"), "Caddy": firstLine(ctx, "caddy", "version"), "Node": firstLine(ctx, "node", "--version"),
		"nchan": firstLine(ctx, "dpkg-query", "-W", "-f", "${Version}", "libnginx-mod-nchan"),
	}
	return facts
}
