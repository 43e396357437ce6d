//go:build !linux

package main

import "time"

// cpuOf is known on Linux only, as is all that is read from /proc.
func cpuOf(int) time.Duration { return 0 }
