package poll

import (
	"net"
	"os"
	"runtime"
	"sync"
	"syscall"
	"time"
	"unsafe"
)

// Supported reports whether connections can be watched on this system.
const Supported = true

// edges are the requested events, edge-triggered: one notification for each arrival.
const edges = syscall.EPOLLIN | syscall.EPOLLRDHUP | 1<<31 // EPOLLET, whose constant is negative

// loop is one of the poller's goroutines. Its epoll instance is itself watched by the
// runtime's poller, so that the goroutine waits like any other.
type loop struct {
	epoll  int
	of     int // number of loops
	file   *os.File
	mu     sync.Mutex // held only to read or set fields
	places []*Watch   // indexed by descriptor, divided by the number of loops
	found  [128]*Watch
}

var loops = sync.OnceValues(func() ([]*loop, error) {
	all := make([]*loop, runtime.GOMAXPROCS(0))
	for i := range all {
		fd, err := syscall.EpollCreate1(syscall.EPOLL_CLOEXEC)
		if err != nil {
			return nil, os.NewSyscallError("epoll_create1", err)
		}
		if err := syscall.SetNonblock(fd, true); err != nil { // otherwise os would not have it watched
			return nil, os.NewSyscallError("fcntl", err)
		}
		all[i] = &loop{epoll: fd, of: len(all), file: os.NewFile(uintptr(fd), "epoll")}
		raw, err := all[i].file.SyscallConn()
		if err != nil {
			return nil, err
		}
		// This fails if the runtime's poller does not accept an epoll instance.
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
				return false // the runtime's poller reports what arrives in the meantime
			}
		}
	})
}

// tell calls the owners of the events' connections. A descriptor may belong to another
// connection by now, whose owner then finds nothing to read.
func (l *loop) tell(events []syscall.EpollEvent) {
	l.mu.Lock()
	for i := range events {
		l.found[i] = l.places[int(events[i].Fd)/l.of]
	}
	l.mu.Unlock()
	for i, w := range l.found[:len(events)] {
		l.found[i] = nil
		if w != nil {
			w.tell()
		}
	}
}

// watch registers w for events on fd, including those already pending.
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

// Remove ends the watch. It must be called before the connection is closed. A call of
// Ready may be in progress, but there will be no other.
func (w *Watch) Remove() {
	if w.state.Swap(removed) == removed {
		return
	}
	w.loop.forget(w)
	_ = syscall.EpollCtl(w.loop.epoll, syscall.EPOLL_CTL_DEL, w.fd, nil) // the watch has ended either way
}

// Of watches a connection that stays managed by net: its owner may read and write as
// before, and must call Remove before it is closed.
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

// Write writes as much to a socket as possible without blocking. It returns [ErrWait] if
// nothing can be written.
func Write(fd uintptr, p []byte) (int, error) {
	for {
		// A raw system call does not notify the scheduler. Nothing else would get to run
		// in the meantime, and for each call that takes longer than usual the scheduler
		// would start a thread.
		n, _, errno := syscall.RawSyscall6(syscall.SYS_SENDTO, fd, uintptr(unsafe.Pointer(unsafe.SliceData(p))), uintptr(len(p)), syscall.MSG_NOSIGNAL, 0, 0)
		switch errno { //nolint:exhaustive // all others are errors
		case syscall.EINTR:
		case 0:
			return int(n), nil
		case syscall.EAGAIN:
			return 0, ErrWait
		default:
			return 0, os.NewSyscallError("write", errno)
		}
	}
}
