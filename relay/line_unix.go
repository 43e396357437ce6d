//go:build unix

package relay

import "syscall"

// canTry says that a connection can be read and written without waiting.
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

// read reads what has come, and does not wait for more.
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
