package main

import (
	"time"

	"golang.org/x/sys/unix"
)

// cpuOf is the time that a process has had, its ended threads too, to the
// nanosecond: what /proc tells is in hundredths of a second, which is too coarse
// for a second of flood.
func cpuOf(pid int) time.Duration {
	const scheduled = 2 // as clock_getcpuclockid(3) makes a clock of a process
	var t unix.Timespec
	if unix.ClockGettime(int32(^pid<<3|scheduled), &t) != nil { //nolint:gosec // processes have small numbers
		return 0
	}
	return time.Duration(t.Nano())
}
