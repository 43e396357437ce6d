package relay_test

import (
	"errors"
	"net"
	"net/http"
	"runtime"

	"github.com/anyframe-relay/relay/relay/internal/poll"
)

// beginPoller starts the poller's goroutines, which belong to the process, so that no
// test is charged with them.
func beginPoller() error {
	conn, err := net.ListenPacket("udp", "127.0.0.1:0") //nolint:noctx // does not wait
	if err != nil {
		return err
	}
	defer conn.Close()
	w, err := poll.Of(conn.(net.Conn), nil)
	if errors.Is(err, poll.ErrUnsupported) {
		return nil
	}
	if err == nil {
		w.Remove()
	}
	return err
}

// settled waits until at most most goroutines are left.
func settled(most int) bool {
	return within(func() bool {
		http.DefaultTransport.(*http.Transport).CloseIdleConnections()
		return runtime.NumGoroutine() <= most
	})
}
