package poll

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
)

// reader collects what comes in the poller's goroutine.
type reader struct {
	conn *Conn
	got  bytes.Buffer
	done chan error
}

func (r *reader) Ready() {
	var p [16]byte
	for {
		n, err := r.conn.Read(p[:])
		r.got.Write(p[:n])
		switch {
		case errors.Is(err, ErrWait):
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
	r := &reader{done: make(chan error, 1)}
	var err error
	if r.conn, err = Take(conn, r); err != nil {
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
	conn *Conn
	out  net.Conn
}

func (e *echo) Ready() {
	var p [16]byte
	for {
		n, err := e.conn.Read(p[:])
		if n > 0 {
			_, _ = e.out.Write(p[:n])
		}
		if err != nil && (!errors.Is(err, ErrWait) || e.conn.Park()) {
			return
		}
	}
}

func TestWhatComesIsReadWhenItComes(t *testing.T) {
	t.Parallel()
	here, there := pair(t)
	answers, out := pair(t)
	e := &echo{out: out}
	var err error
	if e.conn, err = Take(here, e); err != nil {
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
type bell struct{ rang atomic.Int64 }

func (b *bell) Ready() { b.rang.Add(1) }

// until waits until cond holds.
func until(t *testing.T, what string, cond func() bool) {
	t.Helper()
	look := time.NewTicker(time.Millisecond)
	defer look.Stop()
	for deadline := time.Now().Add(time.Minute); !cond(); <-look.C {
		if time.Now().After(deadline) {
			t.Fatal("did not come: " + what)
		}
	}
}

func TestOneIsCalledOnceAndOnlyWhileParked(t *testing.T) {
	t.Parallel()
	here, there := pair(t)
	b := &bell{}
	w, err := Of(here, b)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Remove()
	write := func() {
		t.Helper()
		if _, err := there.Write([]byte("x")); err != nil {
			t.Fatal(err)
		}
	}
	if !w.Park() {
		t.Fatal("did not park though nothing has come")
	}
	write()
	until(t, "the call", func() bool { return b.rang.Load() == 1 })
	if w.Park() {
		t.Fatal("parked though what came was not looked at")
	}
	w.Seen()
	write()
	until(t, "what came while not parked", func() bool { return w.state.Load() == news })
	if b.rang.Load() != 1 || w.Park() {
		t.Fatalf("was called %d times, want once, and no parking before what came was looked at", b.rang.Load())
	}
	w.Seen()
	if !w.Park() {
		t.Fatal("did not park though all was looked at")
	}
	write()
	until(t, "another call", func() bool { return b.rang.Load() == 2 })
	w.Remove()
	w.Remove() // does no harm
	if !w.Park() {
		t.Error("one that is no longer watched has news")
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
