package poll

import (
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// pair returns the two ends of a TCP connection.
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

func TestWatch_DataArrives_CalledOnceWhileParked(t *testing.T) {
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
	w.Remove() // the second call does no harm
	if !w.Park() {
		t.Error("one that is no longer watched has news")
	}
}

func TestWatch_DataBeforeWatch_Reported(t *testing.T) {
	t.Parallel()
	for range 100 {
		here, there := pair(t)
		if _, err := there.Write([]byte("x")); err != nil {
			t.Fatal(err)
		}
		b := &bell{}
		w, err := Of(here, b)
		if err != nil {
			t.Fatal(err)
		}
		if w.Park() {
			until(t, "the call", func() bool { return b.rang.Load() == 1 })
		}
		w.Remove()
	}
}

func TestWatch_PeerCloses_Called(t *testing.T) {
	t.Parallel()
	here, there := pair(t)
	b := &bell{}
	w, err := Of(here, b)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Remove()
	if !w.Park() {
		t.Fatal("did not park though nothing has come")
	}
	there.Close()
	until(t, "the call", func() bool { return b.rang.Load() == 1 })
}

func TestWatch_DescriptorReused_OnlyNewOwnerCalled(t *testing.T) {
	t.Parallel()
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 100 {
				here, there := pair(t)
				b := &bell{}
				w, err := Of(here, b)
				if err != nil {
					t.Error(err)
					return
				}
				if w.Park() {
					if _, err := there.Write([]byte("mine")); err != nil {
						t.Error(err)
					}
					until(t, "the call", func() bool { return b.rang.Load() == 1 })
				}
				w.Remove()
				if n := b.rang.Load(); n > 1 {
					t.Errorf("was called %d times, want once at most", n)
				}
				there.Close()
				here.Close()
			}
		})
	}
	wg.Wait()
}
