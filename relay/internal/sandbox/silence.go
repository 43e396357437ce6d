package sandbox

import "time"

// rareProbes is the maximum factor by which probes are delayed while the agent is not
// working.
const rareProbes = 8

// ProbeAfter returns after how long a silence AnyFrame is asked whether a sandbox still
// runs. While its agent is working, that is after, because a visitor waits for the
// answer. Otherwise it grows with the silence, up to eight times after.
func ProbeAfter(after time.Duration, atWork bool, silent time.Duration) time.Duration {
	if atWork {
		return after
	}
	return max(after, min(rareProbes*after, silent/2))
}
