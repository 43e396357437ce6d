package main

import (
	"time"

	"golang.org/x/sys/unix"
)

// cpuOf returns the processor time of a process, including ended threads, in nanoseconds.
// /proc has hundredths of a second, which is too coarse for a second of flood.
func cpuOf(pid int) time.Duration {
	const scheduled = 2 // as clock_getcpuclockid(3) derives the clock of a process
	var t unix.Timespec
	if unix.ClockGettime(int32(^pid<<3|scheduled), &t) != nil { //nolint:gosec // processes have small numbers
		return 0
	}
	return time.Duration(t.Nano())
}
