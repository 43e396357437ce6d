//go:build unix

package relay

import "syscall"

// canTry says that a connection can be written to without waiting.
const canTry = true

// write takes as much of data as the connection does at once.
func (c *scratch) write(fd uintptr) bool {
	for {
		n, err := syscall.Write(int(fd), c.data)
		if err == syscall.EINTR {
			continue
		}
		c.n = max(n, 0)
		return true // whatever became of it: no waiting
	}
}
