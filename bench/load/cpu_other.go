//go:build !linux

package main

import "time"

// cpuOf is available on Linux only, like everything that is read from /proc.
func cpuOf(int) time.Duration { return 0 }
