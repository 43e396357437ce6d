//go:build unix

package stream

import (
	"syscall"

	"github.com/anyframe-relay/relay/relay/internal/poll"
)

// canTry reports whether a connection can be read and written without blocking.
const canTry = true

// write writes as much of data as the connection accepts without blocking.
func (s *scratch) write(fd uintptr) bool {
	s.n, _ = poll.Write(fd, s.data) // an error leaves n at 0, and a step encounters it again
	return true
}

// read reads what has arrived, and does not wait for more.
func (s *scratch) read(fd uintptr) bool {
	for {
		n, err := syscall.Read(int(fd), s.got[:])
		if err == syscall.EINTR {
			continue
		}
		s.n, s.empty = max(n, 0), err == syscall.EAGAIN
		return true
	}
}
