//go:build unix

package main

import (
	"os/exec"
	"syscall"
)

// ownGroup lets one signal end a shell and what it has started, as a terminal does.
func ownGroup(cmd *exec.Cmd) { cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} }

// interrupt is Ctrl-C.
func interrupt(cmd *exec.Cmd) error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGINT) }
