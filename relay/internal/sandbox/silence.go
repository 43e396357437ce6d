package sandbox

import "time"

// rareProbes is the maximum factor by which probes are delayed while the agent is not
// working.
const rareProbes = 8

// Silence describes a sandbox whose event stream is silent.
type Silence struct {
	Active      time.Time     // when its agent last did anything
	Confirmed   time.Time     // when AnyFrame last showed that it runs; not before Active
	AtWork      bool          // its agent is running a turn
	IdleTimeout time.Duration // how long AnyFrame keeps it awake unused
}

// ProbeAt returns when AnyFrame is asked whether the sandbox still runs. While its agent
// is working, that is after, because a visitor waits for the answer. Otherwise it is not
// asked before the sandbox should have gone to sleep, which its stream reveals, and then
// ever more rarely, up to eight times after.
func (s Silence) ProbeAt(after time.Duration) time.Time {
	if s.AtWork {
		return s.Confirmed.Add(after)
	}
	at := s.Confirmed.Add(max(after, min(rareProbes*after, s.Confirmed.Sub(s.Active))))
	if asleep := s.Active.Add(s.IdleTimeout + after); asleep.After(at) {
		return asleep
	}
	return at
}
