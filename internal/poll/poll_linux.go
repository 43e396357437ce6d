package poll

import (
	"io"
	"net"
	"os"
	"runtime"
	"sync"
	"syscall"
	"time"
	"unsafe"
)

// Supported says whether connections can be watched on this system.
const Supported = true

// edges is what is asked of the kernel: to be told once of each thing that comes.
const edges = syscall.EPOLLIN | syscall.EPOLLRDHUP | 1<<31 // EPOLLET, whose constant is negative

const ended = syscall.EPOLLRDHUP | syscall.EPOLLHUP | syscall.EPOLLERR

// loop is one of the poller's goroutines. Its epoll instance is itself watched by
// the runtime's poller, so that it waits as any other goroutine does.
type loop struct {
	epoll  int
	of     int // loops in all
	file   *os.File
	mu     sync.Mutex // held only to look or set
	places []*Watch   // by descriptor, divided by the number of loops
	found  [128]*Watch
}

var loops = sync.OnceValues(func() ([]*loop, error) {
	all := make([]*loop, runtime.GOMAXPROCS(0))
	for i := range all {
		fd, err := syscall.EpollCreate1(syscall.EPOLL_CLOEXEC)
		if err != nil {
			return nil, os.NewSyscallError("epoll_create1", err)
		}
		if err := syscall.SetNonblock(fd, true); err != nil { // or os would not have it watched
			return nil, os.NewSyscallError("fcntl", err)
		}
		all[i] = &loop{epoll: fd, of: len(all), file: os.NewFile(uintptr(fd), "epoll")}
		raw, err := all[i].file.SyscallConn()
		if err != nil {
			return nil, err
		}
		// Fails where the runtime's poller won't have an epoll instance.
		if err := all[i].file.SetDeadline(time.Time{}); err != nil {
			return nil, err
		}
		go all[i].run(raw)
	}
	return all, nil
})

func (l *loop) run(raw syscall.RawConn) {
	var events [len(l.found)]syscall.EpollEvent
	_ = raw.Read(func(uintptr) bool { // never ends
		for {
			n, _, errno := syscall.RawSyscall6(syscall.SYS_EPOLL_PWAIT, uintptr(l.epoll), uintptr(unsafe.Pointer(&events)), uintptr(len(events)), 0, 0, 0)
			switch {
			case errno == syscall.EINTR:
				continue
			case errno != 0 || n == 0:
				return false
			}
			l.tell(events[:n])
			if n < uintptr(len(events)) {
				return false // what came meanwhile is told by the runtime's poller
			}
		}
	})
}

// tell calls whoever the events are for. A descriptor may belong to another
// connection by now, which then looks and finds nothing.
func (l *loop) tell(events []syscall.EpollEvent) {
	l.mu.Lock()
	for i := range events {
		l.found[i] = l.places[int(events[i].Fd)/l.of]
	}
	l.mu.Unlock()
	for i, w := range l.found[:len(events)] {
		l.found[i] = nil
		if w == nil {
			continue
		}
		if events[i].Events&ended != 0 {
			w.ended.Store(true)
		}
		w.tell()
	}
}

// watch has w told of what comes on fd, from now on and of what is there.
func (w *Watch) watch(fd int) error {
	all, err := loops()
	if err != nil {
		return err
	}
	w.fd, w.loop = fd, all[fd%len(all)]
	l, place := w.loop, fd/len(all)
	l.mu.Lock()
	for len(l.places) <= place {
		l.places = append(l.places, nil)
	}
	l.places[place] = w
	l.mu.Unlock()
	event := syscall.EpollEvent{Events: edges, Fd: int32(fd)} //nolint:gosec // the kernel's own type for it
	if err := syscall.EpollCtl(l.epoll, syscall.EPOLL_CTL_ADD, fd, &event); err != nil {
		l.forget(w)
		return os.NewSyscallError("epoll_ctl", err)
	}
	return nil
}

func (l *loop) forget(w *Watch) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if place := w.fd / l.of; l.places[place] == w {
		l.places[place] = nil
	}
}

// Remove ends the watch, before its connection is closed. Ready may be under way
// but is not called again.
func (w *Watch) Remove() {
	if w.state.Swap(removed) == removed {
		return
	}
	w.loop.forget(w)
	_ = syscall.EpollCtl(w.loop.epoll, syscall.EPOLL_CTL_DEL, w.fd, nil) // the watch is over either way
}

// Of watches a connection that stays net's: whoever owns it may read and write as
// ever, and must call Remove before it is closed.
func Of(conn net.Conn, owner Waiter) (*Watch, error) {
	w := &Watch{waiter: owner}
	if err := control(conn, w.watch); err != nil {
		return nil, err
	}
	return w, nil
}

// control calls f with the connection's descriptor.
func control(conn net.Conn, f func(fd int) error) error {
	c, ok := conn.(syscall.Conn)
	if !ok {
		return ErrUnsupported
	}
	raw, err := c.SyscallConn()
	if err != nil {
		return err
	}
	var inner error
	if err := raw.Control(func(fd uintptr) { inner = f(int(fd)) }); err != nil {
		return err
	}
	return inner
}

// Conn is a connection to read from, taken away from net: the runtime's poller
// no longer looks after it, which would cost a little for everything that comes.
type Conn struct {
	Watch
	drained bool // the last read got all there was

	mu     sync.Mutex // held while the descriptor is used by others than the owner
	closed bool
}

// Take takes the connection over. If that fails, conn is as it was.
func Take(conn net.Conn, owner Waiter) (*Conn, error) {
	c := &Conn{Watch: Watch{waiter: owner}}
	fd := -1
	err := control(conn, func(old int) error {
		syscall.ForkLock.RLock()
		defer syscall.ForkLock.RUnlock()
		dup, _, errno := syscall.Syscall(syscall.SYS_FCNTL, uintptr(old), syscall.F_DUPFD_CLOEXEC, 0)
		if errno != 0 {
			return os.NewSyscallError("fcntl", errno)
		}
		fd = int(dup)
		return nil
	})
	if err != nil {
		return nil, err
	}
	if err := c.watch(fd); err != nil {
		_ = syscall.Close(fd)
		return nil, err
	}
	_ = conn.Close() // fd is another name of what it was
	return c, nil
}

// Read reads what has come; if that is nothing it returns [ErrWait] at once.
func (c *Conn) Read(p []byte) (int, error) {
	if c.drained && c.quiet() {
		return 0, ErrWait
	}
	c.Seen()
	n, errno := transfer(syscall.SYS_RECVFROM, c.fd, p, 0)
	switch {
	case errno == syscall.EAGAIN:
		c.drained = true
		return 0, ErrWait
	case errno != 0:
		return 0, &net.OpError{Op: "read", Net: "tcp", Err: os.NewSyscallError("read", errno)}
	case n == 0 && len(p) > 0:
		return 0, io.EOF
	}
	c.drained = n < len(p)
	return n, nil
}

// Write writes to a socket as much as it takes without waiting. The error is
// [ErrWait] when that is nothing.
func Write(fd uintptr, p []byte) (int, error) {
	n, errno := transfer(syscall.SYS_SENDTO, int(fd), p, syscall.MSG_NOSIGNAL)
	if errno == 0 {
		return n, nil
	}
	if errno == syscall.EAGAIN {
		return 0, ErrWait
	}
	return 0, os.NewSyscallError("write", errno)
}

// transfer reads or writes a socket that never waits. The scheduler is not
// told: nothing else would get to run meanwhile, and for each call that is longer
// than usual it would start a thread.
func transfer(call uintptr, fd int, p []byte, flags uintptr) (int, syscall.Errno) {
	for {
		n, _, errno := syscall.RawSyscall6(call, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(p))), uintptr(len(p)), flags, 0, 0)
		if errno != syscall.EINTR {
			return int(n), errno
		}
	}
}

// Shut ends the connection, and what waits for it is called. Anybody may call it.
func (c *Conn) Shut() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.closed {
		_ = syscall.Shutdown(c.fd, syscall.SHUT_RDWR) // fails when the other side did it first
	}
}

// Close closes the connection.
func (c *Conn) Close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.closed {
		c.closed = true
		c.Remove()
		_ = syscall.Close(c.fd) // nothing was written that could get lost
	}
}
