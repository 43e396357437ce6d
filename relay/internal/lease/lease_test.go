package lease_test

import (
	"context"
	"errors"
	"log/slog"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/anyframe-relay/relay/relay/internal/lease"
	"github.com/anyframe-relay/relay/relay/internal/store"
	"github.com/anyframe-relay/relay/relay/internal/store/memory"
)

const ttl = 15 * time.Second

// holders runs a test with two processes that share a store.
func holders(t *testing.T, test func(t *testing.T, a, b *lease.Holder)) {
	synctest.Test(t, func(t *testing.T) {
		st := memory.New()
		defer st.Close()
		log := slog.New(slog.DiscardHandler)
		test(t, &lease.Holder{Store: st, Owner: "a", TTL: ttl, Log: log}, &lease.Holder{Store: st, Owner: "b", TTL: ttl, Log: log})
	})
}

// try tries to take a lease, which must be free if want is set, and must not be
// otherwise.
func try(t *testing.T, h *lease.Holder, name string, want bool) (release func()) {
	t.Helper()
	release, ok, err := h.Try(t.Context(), name)
	if err != nil || ok != want {
		t.Fatalf("%s tries for %s: got %v, %v, want %v", h.Owner, name, ok, err, want)
	}
	return release
}

func TestTry_HeldByAnother_RefusedUntilReleased(t *testing.T) {
	holders(t, func(t *testing.T, a, b *lease.Holder) {
		release := try(t, a, "x", true)
		try(t, b, "x", false)
		try(t, b, "y", true)()
		release()
		try(t, b, "x", true)()
	})
}

// A lease is held for as long as its work takes, whatever its TTL.
func TestTry_WorkTakesLong_Renewed(t *testing.T) {
	holders(t, func(t *testing.T, a, b *lease.Holder) {
		release := try(t, a, "x", true)
		time.Sleep(10 * ttl)
		try(t, b, "x", false)
		release()
		time.Sleep(10 * ttl) // and a renewal in progress does not take it again
		try(t, b, "x", true)()
	})
}

// The context that the work began with may end first; the lease is kept.
func TestTry_ContextEnds_LeaseStays(t *testing.T) {
	holders(t, func(t *testing.T, a, b *lease.Holder) {
		ctx, cancel := context.WithCancel(t.Context())
		release, ok, err := a.Try(ctx, "x")
		if !ok || err != nil {
			t.Fatal(ok, err)
		}
		cancel()
		time.Sleep(3 * ttl)
		try(t, b, "x", false)
		release()
		try(t, b, "x", true)()
	})
}

// Several callers of one process may hold a lease; the first to release it does not take
// it from the others.
func TestTry_TwiceInOneProcess_HeldUntilBothRelease(t *testing.T) {
	holders(t, func(t *testing.T, a, b *lease.Holder) {
		first, second := try(t, a, "x", true), try(t, a, "x", true)
		first()
		first()
		try(t, b, "x", false)
		time.Sleep(3 * ttl)
		try(t, b, "x", false)
		second()
		release := try(t, b, "x", true)
		try(t, a, "x", false)
		release()
		try(t, a, "x", true)()
	})
}

// faulty is a store that may be unavailable to one process.
type faulty struct {
	*memory.Store
	down atomic.Bool
}

func (f *faulty) Acquire(ctx context.Context, name, owner string, ttl time.Duration) (int64, bool, error) {
	if f.down.Load() {
		return 0, false, store.ErrUnavailable
	}
	return f.Store.Acquire(ctx, name, owner, ttl)
}

func TestHeld_StoreUnavailable_LostAfterTTL(t *testing.T) {
	holders(t, func(t *testing.T, a, b *lease.Holder) {
		st := &faulty{Store: a.Store.(*memory.Store)} //nolint:forcetypeassert // as holders made it
		a.Store = st
		held := func(want bool) {
			t.Helper()
			synctest.Wait()
			if got := a.Held("x"); got != want {
				t.Errorf("held: got %v, want %v", got, want)
			}
		}
		held(false)
		release := try(t, a, "x", true)
		time.Sleep(10 * ttl)
		held(true)

		st.down.Store(true) // for less than a TTL
		time.Sleep(ttl / 2)
		held(true)
		st.down.Store(false)
		time.Sleep(ttl)
		held(true)

		st.down.Store(true)
		time.Sleep(ttl)
		held(false)
		other := try(t, b, "x", true)
		st.down.Store(false)
		time.Sleep(ttl) // renewals find that b has it
		held(false)

		release()
		try(t, b, "x", true)() // which a's release did not take from b
		other()
		release = try(t, a, "x", true)
		held(true)
		release()
		held(false)
	})
}

// slowRelease is a store whose releases take a second.
type slowRelease struct{ *memory.Store }

func (s slowRelease) Release(ctx context.Context, name, owner string) error {
	time.Sleep(time.Second)
	return s.Store.Release(ctx, name, owner)
}

func TestTry_DuringRelease_Kept(t *testing.T) {
	holders(t, func(t *testing.T, a, b *lease.Holder) {
		a.Store = slowRelease{a.Store.(*memory.Store)} //nolint:forcetypeassert // as holders made it
		go try(t, a, "x", true)()
		synctest.Wait()
		release := try(t, a, "x", true)
		time.Sleep(2 * time.Second)
		try(t, b, "x", false)
		release()
		try(t, b, "x", true)()
	})
}

func TestWait_HeldByAnother_TakenWhenReleased(t *testing.T) {
	holders(t, func(t *testing.T, a, b *lease.Holder) {
		release := try(t, a, "x", true)
		got := make(chan func(), 1)
		go func() {
			release, err := b.Wait(t.Context(), "x")
			if err != nil {
				t.Error(err)
			}
			got <- release
		}()
		time.Sleep(ttl)
		if len(got) != 0 {
			t.Fatal("got the lease of another, want to wait for it")
		}
		release()
		(<-got)()
	})
}

// A crashed process's lease blocks the others until it expires, and no longer.
func TestWait_HolderDied_TakenAfterItsTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := memory.New()
		defer st.Close()
		if _, ok, err := st.Acquire(t.Context(), "x", "dead", ttl); !ok || err != nil {
			t.Fatal(ok, err)
		}
		h := &lease.Holder{Store: st, Owner: "b", TTL: ttl, Log: slog.New(slog.DiscardHandler)}
		began := time.Now()
		release, err := h.Wait(t.Context(), "x")
		if err != nil {
			t.Fatal(err)
		}
		release()
		if took := time.Since(began); took < ttl || took > ttl+time.Second {
			t.Errorf("got it after %v, want it after %v", took, ttl)
		}
	})
}

func TestWait_ContextEnds_Error(t *testing.T) {
	holders(t, func(t *testing.T, a, b *lease.Holder) {
		defer try(t, a, "x", true)()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := b.Wait(ctx, "x"); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v, want the context's error", err)
		}
	})
}
