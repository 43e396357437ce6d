package sandbox

import (
	"slices"
	"testing"
	"time"
)

// For a sandbox that stays silent, each answer counts as a sign of life.
func TestSilence_ProbeAt_IdleOnesMoreAndMoreRarely(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		atWork      bool
		idleTimeout time.Duration
		want        []int // the first probes, in minutes
	}{
		"at work":            {true, 5 * time.Minute, []int{1, 2, 3, 4, 5, 6}},
		"idle":               {false, 5 * time.Minute, []int{6, 12, 20, 28, 36, 44}},
		"idle, soon asleep":  {false, time.Second, []int{1, 2, 4, 8, 16, 24}},
		"idle, never asleep": {false, time.Hour, []int{61, 69, 77, 85, 93, 101}},
	} {
		start := time.Now()
		s := Silence{Active: start, Confirmed: start, AtWork: tt.atWork, IdleTimeout: tt.idleTimeout}
		var got []int
		for range tt.want {
			s.Confirmed = s.ProbeAt(time.Minute)
			got = append(got, int(s.Confirmed.Sub(start).Minutes()))
		}
		if !slices.Equal(got, tt.want) {
			t.Errorf("%s: got asked after %v minutes, want %v", name, got, tt.want)
		}
	}
}
