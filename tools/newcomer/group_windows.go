package main

import "os/exec"

func ownGroup(*exec.Cmd) {}

// interrupt kills the process: Windows has no Ctrl-C for another process.
func interrupt(cmd *exec.Cmd) error { return cmd.Process.Kill() }
