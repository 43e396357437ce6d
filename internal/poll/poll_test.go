package poll_test

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/anyframe-relay/relay/internal/poll"
)

// reader collects what comes in the poller's goroutine.
type reader struct {
	conn *poll.Conn
	got  bytes.Buffer
	done chan error
}

func (r *reader) Ready() {
	var p [16]byte
	for {
		n, err := r.conn.Read(p[:])
		r.got.Write(p[:n])
		switch {
		case errors.Is(err, poll.ErrWait):
			if r.conn.Park() {
				return
			}
		case err != nil:
			r.done <- err
			return
		}
	}
}

// pair is two ends of a TCP connection.
func pair(t *testing.T) (here, there net.Conn) {
	t.Helper()
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if there, err = new(net.Dialer).DialContext(t.Context(), "tcp", l.Addr().String()); err != nil {
		t.Fatal(err)
	}
	if here, err = l.Accept(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { here.Close(); there.Close() })
	return here, there
}

func take(t *testing.T, conn net.Conn) *reader {
	t.Helper()
	if !poll.Supported {
		t.Skip("connections are watched on Linux only")
	}
	r := &reader{done: make(chan error, 1)}
	var err error
	if r.conn, err = poll.Take(conn, r); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.conn.Close)
	r.Ready() // reads what is there, and waits for more
	return r
}

func TestEverythingThatComesIsRead(t *testing.T) {
	t.Parallel()
	const conns, writes = 50, 200
	var wg sync.WaitGroup
	for range conns {
		here, there := pair(t)
		_, _ = there.Write([]byte("before ")) // it is there before anybody watches
		r := take(t, here)
		want := []byte("before ")
		wg.Go(func() {
			for range writes {
				piece := bytes.Repeat([]byte{byte('a' + rand.N(26))}, 1+rand.N(40))
				want = append(want, piece...)
				if _, err := there.Write(piece); err != nil {
					t.Error(err)
				}
			}
			there.Close()
			if err := <-r.done; !errors.Is(err, io.EOF) {
				t.Errorf("the end is %v, want EOF", err)
			}
			if !bytes.Equal(r.got.Bytes(), want) {
				t.Errorf("got %d bytes, want the %d that were sent", r.got.Len(), len(want))
			}
		})
	}
	wg.Wait()
}

// echo sends back what comes.
type echo struct {
	conn *poll.Conn
	out  net.Conn
}

func (e *echo) Ready() {
	var p [16]byte
	for {
		n, err := e.conn.Read(p[:])
		if n > 0 {
			_, _ = e.out.Write(p[:n])
		}
		if err != nil && (!errors.Is(err, poll.ErrWait) || e.conn.Park()) {
			return
		}
	}
}

func TestWhatComesIsReadWhenItComes(t *testing.T) {
	t.Parallel()
	if !poll.Supported {
		t.Skip("connections are watched on Linux only")
	}
	here, there := pair(t)
	answers, out := pair(t)
	e := &echo{out: out}
	var err error
	if e.conn, err = poll.Take(here, e); err != nil {
		t.Fatal(err)
	}
	defer e.conn.Close()
	e.Ready()
	for n := range 100 { // the next only once the one before has come back
		want := bytes.Repeat([]byte{'a'}, 1+n%40)
		got := make([]byte, len(want))
		if _, err := there.Write(want); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(answers, got); err != nil || !bytes.Equal(got, want) {
			t.Fatalf("got %q, %v, want %q", got, err, want)
		}
	}
}

func TestDataThatComeWithTheEndAreRead(t *testing.T) {
	t.Parallel()
	for range 200 {
		here, there := pair(t)
		r := take(t, here)
		_, _ = there.Write([]byte("last words"))
		there.Close()
		if err := <-r.done; !errors.Is(err, io.EOF) || r.got.String() != "last words" {
			t.Fatalf("got %q and %v, want last words and EOF", r.got.String(), err)
		}
	}
}

func TestAConnectionShutByAnotherIsToldToItsOwner(t *testing.T) {
	t.Parallel()
	here, _ := pair(t)
	r := take(t, here)
	r.conn.Shut()
	if err := <-r.done; err == nil {
		t.Error("got no error from a connection that was shut")
	}
	r.conn.Close()
	r.conn.Shut() // does no harm, whoever has the descriptor by now
	r.conn.Close()
}

// bell counts how often it was called.
type bell struct {
	rang  atomic.Int64
	calls chan struct{}
}

func (b *bell) Ready() {
	b.rang.Add(1)
	b.calls <- struct{}{}
}

func TestOneWhoDidNotParkIsNotCalled(t *testing.T) {
	t.Parallel()
	if !poll.Supported {
		t.Skip("connections are watched on Linux only")
	}
	here, there := pair(t)
	b := &bell{calls: make(chan struct{}, 10)}
	w, err := poll.Of(here, b)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Remove()
	if _, err := there.Write([]byte("x")); err != nil {
		t.Fatal(err)
	}
	for w.Park() { // until the poller has seen it: an early Park is told
		<-b.calls
		w.Seen()
		if _, err := there.Write([]byte("y")); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Millisecond) // only makes the other way more likely
	}
	rang := b.rang.Load()
	if w.Park() {
		t.Fatal("parked though something came that was not looked at")
	}
	w.Seen()
	if !w.Park() {
		t.Fatal("did not park though all was looked at")
	}
	if _, err := there.Write([]byte("z")); err != nil {
		t.Fatal(err)
	}
	<-b.calls
	if got := b.rang.Load(); got != rang+1 {
		t.Errorf("was called %d times, want once", got-rang)
	}
}

func TestADescriptorThatIsUsedAgainBelongsToWhoHasItNow(t *testing.T) {
	t.Parallel()
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 100 {
				here, there := pair(t)
				r := take(t, here)
				_, _ = there.Write([]byte("mine"))
				if rand.N(2) == 0 {
					there.Close()
					if err := <-r.done; !errors.Is(err, io.EOF) {
						t.Errorf("the end is %v, want EOF", err)
					}
					if got := r.got.String(); got != "mine" {
						t.Errorf("got %q, want mine", got)
					}
				}
				r.conn.Shut()
				there.Close()
				here.Close()
			}
		})
	}
	wg.Wait()
}

func TestWhatIsNoSocketCannotBeWatched(t *testing.T) {
	t.Parallel()
	a, b := net.Pipe()
	defer a.Close()
	defer b.Close()
	if _, err := poll.Take(a, &bell{}); !errors.Is(err, poll.ErrUnsupported) {
		t.Errorf("got %v, want %v", err, poll.ErrUnsupported)
	}
	if _, err := poll.Of(a, &bell{}); !errors.Is(err, poll.ErrUnsupported) {
		t.Errorf("got %v, want %v", err, poll.ErrUnsupported)
	}
}
