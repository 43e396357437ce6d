package main

import (
	"context"
	"fmt"
	"time"
)

const (
	eventRate = 20
	atOnce    = 128 // streams opened concurrently
	patience  = 20 * time.Second
)

// seconds is how long events are played.
func seconds(full bool) int {
	if full {
		return 8
	}
	return 3
}

// opened creates visitors and opens their streams.
func opened(ctx context.Context, s *stage, n int, asleep bool) (*fleet, time.Duration, error) {
	f, err := s.visitors(ctx, n, asleep)
	if err != nil {
		return nil, 0, err
	}
	took, err := f.openAll(ctx, atOnce, nil)
	return f, took, err
}

// spoken adds the results derived from the events themselves.
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

// steady plays events at the usual rate and measures. The first second does not
// count.
func (f *fleet) steady(ctx context.Context, s *stage, o options, play func(context.Context, float64, int) error) (result, error) {
	n := int64(len(f.streams))
	if err := play(ctx, eventRate, eventRate); err != nil {
		return nil, err
	}
	if err := f.await(n*eventRate, patience); err != nil {
		return nil, err
	}
	f.latency.reset()
	events := eventRate * seconds(o.full)
	defer s.profile(ctx, seconds(o.full))()
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

func runChat(ctx context.Context, s *stage, o options) (result, error) {
	f, took, err := opened(ctx, s, o.visitors, false)
	if err != nil {
		return nil, err
	}
	defer f.closeAll()
	r, err := f.steady(ctx, s, o, s.play)
	if err == nil {
		r[connects] = float64(len(f.streams)) / took.Seconds()
	}
	return r, err
}

func runStorm(ctx context.Context, s *stage, o options) (result, error) {
	const back = 20
	f, _, err := opened(ctx, s, o.visitors, false)
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
	// The message is the session's first event; the counted ones follow.
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

func runFlood(ctx context.Context, s *stage, o options) (result, error) {
	f, _, err := opened(ctx, s, o.visitors, false)
	if err != nil {
		return nil, err
	}
	defer f.closeAll()
	n := int64(len(f.streams))
	events := 1000 * seconds(o.full)
	if err := s.play(ctx, 0, 200); err != nil {
		return nil, err
	}
	if err := f.await(n*200, patience); err != nil {
		return nil, err
	}
	f.latency.reset()
	defer s.profile(ctx, seconds(o.full))()
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

func runIdle(ctx context.Context, s *stage, o options) (result, error) {
	return rest(ctx, s, o.visitors, false)
}

func runAsleep(ctx context.Context, s *stage, o options) (result, error) {
	return rest(ctx, s, o.visitors, true)
}

// rest measures the memory of idle streams. The program's memory without streams is
// not counted.
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
	busy, err := s.calm(ctx)
	if err != nil {
		return nil, err
	}
	s.settled()
	rss, pss := s.proc.memory()
	s.heap(ctx)
	const watched = 64 * time.Second // two renewals of each sandbox's count, and many heartbeats and polls of the store
	defer s.profile(ctx, int(watched.Seconds()))()
	before := s.cpu()
	time.Sleep(watched)
	return result{
		rssEach: (rss - rss0) / float64(n), pssEach: (pss - pss0) / float64(n), connects: float64(n) / took.Seconds(),
		idleCPU: 100 * (s.cpu() - before) / watched.Seconds(), busyFor: busy.Seconds(),
	}, f.unbroken()
}

func runCrowd(ctx context.Context, s *stage, o options) (result, error) {
	f, err := s.visitors(ctx, 1, false)
	if err != nil {
		return nil, err
	}
	one := f.streams[0]
	for i := 1; i < o.visitors; i++ {
		f.streams = append(f.streams, &tab{fleet: f, number: i, path: one.path, token: one.token, idPath: one.idPath})
	}
	if _, err := f.openAll(ctx, atOnce, nil); err != nil {
		return nil, err
	}
	defer f.closeAll()
	if s.peer.alone {
		seq := 0
		return f.steady(ctx, s, o, func(ctx context.Context, rate float64, events int) error {
			seq += events
			return s.publish(ctx, rate, seq-events, events)
		})
	}
	return f.steady(ctx, s, o, s.play)
}
