package redistest

import (
	"os/exec"
	"syscall"
)

// endWithUs lets the kernel kill the process when ours ends, for a test run
// that is killed or times out cleans nothing up.
func endWithUs(cmd *exec.Cmd) { cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} }
