package capacity

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/anyframe-relay/relay/relay/internal/group"
	"github.com/anyframe-relay/relay/relay/internal/problem"
	"github.com/anyframe-relay/relay/relay/internal/store"
	"github.com/anyframe-relay/relay/relay/internal/store/memory"
	"github.com/anyframe-relay/relay/relay/internal/telemetry"
)

// AnyFrame does not respond to the calls that put sandboxes to sleep, and one network
// wants more sandboxes than there are slots.
func TestGate_OneNetworkWakesTooMany_RoomMadeForOthers(t *testing.T) {
	for origin, tt := range map[string]struct {
		addr func(n int) string
		want int
	}{
		"one address": {func(int) string { return "203.0.113.1" }, maxMaking / 4},
		"one /48":     {func(n int) string { return fmt.Sprintf("2001:db8:1:%x::", n) }, maxMaking / 2},
	} {
		t.Run(origin, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var g group.Group
				defer g.Close()
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				asked, answered := make(chan struct{}, 1000), make(chan struct{})
				st := memory.New()
				defer st.Close()
				gate := New(ctx, &g, Options{
					Store: st, Max: 1, CountFor: time.Hour, Metrics: telemetry.NewMetrics(prometheus.NewRegistry()), Log: slog.New(slog.DiscardHandler),
					Sleep: func(context.Context, store.Awake) (bool, error) {
						asked <- struct{}{}
						<-answered
						return false, nil
					},
				})
				seat := func(visitor string) *Seat {
					return gate.Seat(visitor, func() int64 { return 1 }, func() bool { return true })
				}
				if err := seat("awake").Acquire(ctx, "192.0.2.9"); err != nil {
					t.Fatal(err)
				}
				var wg sync.WaitGroup
				wake := func(visitor, addr string) {
					wg.Go(func() {
						if err := seat(visitor).Acquire(ctx, addr); !errors.Is(err, problem.Capacity) {
							t.Errorf("%s: got %v, want no room in the end", visitor, err)
						}
					})
				}
				for i := range 2 * maxMaking {
					wake(fmt.Sprint("v", i), tt.addr(i))
				}
				synctest.Wait()
				if got := len(asked); got != tt.want {
					t.Errorf("room is made for %d of %s at once, want %d", got, origin, tt.want)
				}
				wake("neighbour", "198.51.100.7")
				wake("neighbour", "198.51.100.7") // one call per visitor is enough
				synctest.Wait()
				if got := len(asked); got != tt.want+1 {
					t.Errorf("and for a neighbour: got %d more, want 1", got-tt.want)
				}
				close(answered)
				wg.Wait()
			})
		})
	}
}
