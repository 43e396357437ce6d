package sandbox

import "time"

// rareProbes is how many times rarer a sandbox is asked after whose agent is not at work.
const rareProbes = 8

// ProbeAfter returns after how long without a sign of life AnyFrame is asked whether a
// sandbox still runs: after the time given while its agent is at work, for a visitor waits
// for its words, else later the longer it has been silent, up to eight times as late.
func ProbeAfter(after time.Duration, atWork bool, silent time.Duration) time.Duration {
	if atWork {
		return after
	}
	return max(after, min(rareProbes*after, silent/2))
}
