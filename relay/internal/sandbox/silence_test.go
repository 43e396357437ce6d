package sandbox

import (
	"testing"
	"time"
)

// For a sandbox that stays silent, each answer counts as a sign of life.
func TestProbeAfter_SilentForAnHour_AskedMoreAndMoreRarely(t *testing.T) {
	t.Parallel()
	for atWork, want := range map[bool]int{true: 60, false: 10} { // at 1, 2, 4, 8, 16, 24, … minutes
		asked, last := 0, time.Duration(0)
		for now := time.Duration(0); now <= time.Hour; now += time.Second {
			if now-last >= ProbeAfter(time.Minute, atWork, now) {
				asked, last = asked+1, now
			}
		}
		if asked != want {
			t.Errorf("at work %v: got asked %d times in an hour, want %d", atWork, asked, want)
		}
	}
}
