//go:build !linux

package redistest

import "os/exec"

// endWithUs does nothing: only Linux supports it.
func endWithUs(*exec.Cmd) {}
