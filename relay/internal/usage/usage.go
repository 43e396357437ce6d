package usage

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/anyframe-relay/relay/relay/internal/store"
)

const (
	// Days is how many days are reported, including today.
	Days = 30

	// kind is the kind of the records of days with usage: one per day, with the date as
	// key. They save reads of the counters of other days.
	kind = "usage"

	day          = 24 * time.Hour
	storeTimeout = 5 * time.Second
	// settled is how long after its end a day is not cached yet: another process's clock
	// may be slow, and still count on that day.
	settled = time.Hour
)

// What is a counted quantity.
type What string

// The counted quantities.
const (
	Turns    What = "turns"    // accepted by AnyFrame
	Sessions What = "sessions" // new ones
	Up       What = "up"       // positive ratings that were given on the day and not withdrawn
	Down     What = "down"     // negative ones
)

// Day is the usage on one UTC day.
type Day struct {
	Date                      string // such as 2026-01-31
	Turns, Sessions, Up, Down int
}

// Store is the part of a site's store that counts.
type Store interface {
	Count(ctx context.Context, key string, n, limit int, until time.Time) (total int, ok bool, err error)
	SaveRecord(ctx context.Context, r store.Record) (store.Record, error)
	Record(ctx context.Context, kind, key string) (store.Record, error)
	Records(ctx context.Context, kind, after string, limit int) ([]store.Record, error)
}

// Counter counts for one site. Use [New]. It is safe for concurrent use.
type Counter struct {
	store Store
	log   *slog.Logger

	listed atomic.Pointer[string] // the date whose record is known to be stored

	mu   sync.Mutex      // guards over
	over map[string]past // days that have ended, by date; at most [Days]
}

// past is a day that has ended. It is valid while its record has the version.
type past struct {
	day     Day
	version int64
}

// New returns a counter. Failed counts are logged to log.
func New(st Store, log *slog.Logger) *Counter {
	return &Counter{store: st, log: log, over: map[string]past{}}
}

// Add adds n, which may be negative, to the day of a time. A failed write is only logged:
// no request fails because of a statistic. Add does nothing for days that are no longer
// reported.
func (c *Counter) Add(ctx context.Context, what What, at time.Time, n int) {
	date, until := dateOf(at), at.UTC().Truncate(day).Add((Days+1)*day)
	if n == 0 || !until.After(time.Now()) {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), storeTimeout)
	defer cancel()
	err := c.list(ctx, date, until)
	if err == nil {
		_, _, err = c.store.Count(ctx, key(date, what), n, 0, until)
	}
	if err == nil && date < dateOf(time.Now()) {
		err = c.touch(ctx, date)
	}
	if err != nil {
		c.log.Warn("failed to count usage", "of", string(what), "error", err)
	}
}

func dateOf(t time.Time) string { return t.UTC().Format(time.DateOnly) }

func key(date string, what What) string { return "usage:" + date + ":" + string(what) }

// list records that a day has usage.
func (c *Counter) list(ctx context.Context, date string, until time.Time) error {
	if known := c.listed.Load(); known != nil && *known == date {
		return nil
	}
	_, err := c.store.SaveRecord(ctx, store.Record{Kind: kind, Key: date, ExpiresAt: until})
	if err != nil && !errors.Is(err, store.ErrConflict) { // a conflict means that the record exists
		return err
	}
	c.listed.Store(&date)
	return nil
}

// touch makes every process read an ended day again. If another process does so at the
// same time, that is sufficient for both.
func (c *Counter) touch(ctx context.Context, date string) error {
	r, err := c.store.Record(ctx, kind, date)
	if err == nil {
		_, err = c.store.SaveRecord(ctx, r)
	}
	if errors.Is(err, store.ErrConflict) || errors.Is(err, store.ErrNotFound) {
		return nil
	}
	return err
}

// Days returns today, and the days before it that have usage, latest first. It reads the
// counters of an ended day again only after a change.
func (c *Counter) Days(ctx context.Context) ([]Day, error) {
	now := time.Now()
	today := dateOf(now)
	records, err := c.store.Records(ctx, kind, dateOf(now.Add(-Days*day)), Days)
	if err != nil {
		return nil, err
	}
	d, err := c.read(ctx, today, now)
	if err != nil {
		return nil, err
	}
	all := []Day{d}
	settledBy := dateOf(now.Add(-day - settled))
	c.mu.Lock()
	known := c.over
	c.mu.Unlock()
	over := map[string]past{}
	for _, r := range slices.Backward(records) {
		if r.Key >= today { // another process's clock may already be in tomorrow
			continue
		}
		p, ok := known[r.Key]
		if !ok || p.version != r.Version {
			if p.day, err = c.read(ctx, r.Key, now); err != nil {
				return nil, err
			}
			p.version = r.Version
		}
		if r.Key <= settledBy {
			over[r.Key] = p
		}
		all = append(all, p.day)
	}
	c.mu.Lock()
	c.over = over // not modified from here on
	c.mu.Unlock()
	return all, nil
}

func (c *Counter) read(ctx context.Context, date string, now time.Time) (Day, error) {
	d := Day{Date: date}
	for what, n := range map[What]*int{Turns: &d.Turns, Sessions: &d.Sessions, Up: &d.Up, Down: &d.Down} {
		total, _, err := c.store.Count(ctx, key(date, what), 0, 0, now.Add(day)) // reads without changing anything
		if err != nil {
			return d, err
		}
		*n = total
	}
	return d, nil
}
