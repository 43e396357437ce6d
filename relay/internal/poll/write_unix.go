//go:build unix && !linux

package poll

import (
	"os"
	"syscall"
)

// Write writes as much to a socket as possible without blocking. It returns [ErrWait] if
// nothing can be written.
func Write(fd uintptr, p []byte) (int, error) {
	for {
		switch n, err := syscall.Write(int(fd), p); err {
		case syscall.EINTR:
		case nil:
			return n, nil
		case syscall.EAGAIN:
			return 0, ErrWait
		default:
			return 0, os.NewSyscallError("write", err)
		}
	}
}
