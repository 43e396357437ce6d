//go:build unix

package relay

import (
	"syscall"

	"github.com/anyframe-relay/relay/internal/poll"
)

// canTry says that a connection can be read and written without waiting.
const canTry = true

// write takes as much of data as the connection does at once.
func (c *scratch) write(fd uintptr) bool {
	c.n, _ = poll.Write(fd, c.data) // whatever became of it: no waiting
	return true
}

// ReadAt reads what has come, and does not wait for more.
func (c *scratch) read(fd uintptr) bool {
	for {
		n, err := syscall.Read(int(fd), c.got[:])
		if err == syscall.EINTR {
			continue
		}
		c.n, c.empty = max(n, 0), err == syscall.EAGAIN
		return true
	}
}
