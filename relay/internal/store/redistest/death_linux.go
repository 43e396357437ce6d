package redistest

import (
	"os/exec"
	"syscall"
)

// endWithUs makes the kernel kill the process when ours ends, because a test run that is
// killed or times out runs no cleanup.
func endWithUs(cmd *exec.Cmd) { cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} }
