package usage_test

import (
	"context"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/anyframe-relay/relay/relay/internal/store"
	"github.com/anyframe-relay/relay/relay/internal/store/memory"
	"github.com/anyframe-relay/relay/relay/internal/usage"
)

// counting counts the reads of counters.
type counting struct {
	usage.Store
	mu    sync.Mutex
	reads int
}

func (c *counting) Count(ctx context.Context, key string, n, limit int, until time.Time) (int, bool, error) {
	if n == 0 {
		c.mu.Lock()
		c.reads++
		c.mu.Unlock()
	}
	return c.Store.Count(ctx, key, n, limit, until)
}

func days(t *testing.T, c *usage.Counter) []usage.Day {
	t.Helper()
	all, err := c.Days(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func TestCounter_TwoProcessesOverMidnight_EachDayOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := memory.New()
		defer st.Close()
		log, ctx := slog.New(slog.DiscardHandler), t.Context()
		reads := &counting{Store: st}
		a, b := usage.New(reads, log), usage.New(store.ForSite(st, ""), log)
		other := usage.New(store.ForSite(st, "shop"), log)
		first := time.Now()
		a.Add(ctx, usage.Turns, first, 1)
		b.Add(ctx, usage.Turns, first, 1)
		b.Add(ctx, usage.Turns, first, 1)
		b.Add(ctx, usage.Turns, first, -1)
		a.Add(ctx, usage.Sessions, first, 1)
		a.Add(ctx, usage.Up, first, 1)
		other.Add(ctx, usage.Down, first, 1)
		date := func(n int) string { return first.UTC().AddDate(0, 0, n).Format(time.DateOnly) }
		day := usage.Day{Date: date(0), Turns: 2, Sessions: 1, Up: 1}
		if got := days(t, b); !slices.Equal(got, []usage.Day{day}) {
			t.Errorf("today: got %+v, want %+v", got, day)
		}
		if got := days(t, other); !slices.Equal(got, []usage.Day{{Date: date(0), Down: 1}}) {
			t.Errorf("another site: got %+v, want its own", got)
		}

		time.Sleep(48 * time.Hour)
		want := []usage.Day{{Date: date(2)}, day}
		if got := days(t, a); !slices.Equal(got, want) {
			t.Errorf("two days later: got %+v, want %+v", got, want)
		}
		reads.reads = 0
		days(t, a)
		if reads.reads != 4 {
			t.Errorf("read again: got %d counters read, want those of today alone", reads.reads)
		}
		b.Add(ctx, usage.Up, first, -1) // the visitor withdraws the rating, on another process
		day.Up = 0
		if got := days(t, a); !slices.Equal(got, []usage.Day{{Date: date(2)}, day}) {
			t.Errorf("taken back at another process: got %+v, want no rating on the first day", got)
		}

		time.Sleep(27 * 24 * time.Hour)
		if got := days(t, a); len(got) != 2 {
			t.Errorf("29 days later: got %+v, want the first day too", got)
		}
		time.Sleep(24 * time.Hour)
		if got := days(t, a); !slices.Equal(got, []usage.Day{{Date: date(30)}}) {
			t.Errorf("30 days later: got %+v, want today alone", got)
		}
		time.Sleep(24 * time.Hour)
		b.Add(ctx, usage.Up, first, -1) // too late to be reported
		if n, err := st.CountRecords(ctx, "usage", time.Time{}); err != nil || n > 1 {
			t.Errorf("records: got %d, %v, want those of days that are told", n, err)
		}
	})
}

func TestCounter_StoreAway_NothingFails(t *testing.T) {
	t.Parallel()
	st := memory.New()
	st.Close()
	c := usage.New(st, slog.New(slog.DiscardHandler))
	c.Add(t.Context(), usage.Turns, time.Now(), 1)
	if _, err := c.Days(t.Context()); err == nil {
		t.Error("got no error from Days, want the store's")
	}
}
