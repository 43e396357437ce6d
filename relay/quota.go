package relay

import (
	"cmp"
	"context"
	"time"

	"github.com/anyframe-relay/relay/relay/internal/challenge"
	"github.com/anyframe-relay/relay/relay/internal/feedback"
	"github.com/anyframe-relay/relay/relay/internal/limits"
	"github.com/anyframe-relay/relay/relay/internal/usage"
)

// quota applies the current limits to the visitors of a site and counts their use.
type quota struct{ *wired }

func (q quota) NewSession(ctx context.Context, addr string, toll challenge.Toll) error {
	return q.limits.Load().NewSession(ctx, addr, toll)
}

func (q quota) BeginSession(ctx context.Context, addr string, toll challenge.Toll) (undo func() error, err error) {
	giveBack, err := q.limits.Load().BeginSession(ctx, addr, toll)
	if err != nil {
		return nil, err
	}
	now := time.Now()
	q.usage.Add(ctx, usage.Sessions, now, 1)
	return func() error {
		q.usage.Add(ctx, usage.Sessions, now, -1)
		return giveBack()
	}, nil
}

func (q quota) Message(ctx context.Context, visitor string) (undo func() error, err error) {
	return q.limits.Load().Message(ctx, visitor)
}

func (q quota) ReserveTurn(ctx context.Context) (release func(), err error) {
	return q.limits.Load().ReserveTurn(ctx)
}

func (q quota) CountTurn(ctx context.Context, sent bool) (day int64, err error) {
	if day, err = q.limits.Load().CountTurn(ctx, sent); err == nil {
		q.usage.Add(ctx, usage.Turns, time.Unix(day, 0), 1)
	}
	return day, err
}

func (q quota) UncountTurn(ctx context.Context, day int64) error {
	if day != 0 {
		q.usage.Add(ctx, usage.Turns, time.Unix(day, 0), -1)
	}
	return q.limits.Load().UncountTurn(ctx, day)
}

// limitsOf returns the limits of a site's settings.
func (w *wired) limitsOf(c *Config) limits.Options {
	o := c.limits()
	o.Spent = func(ctx context.Context, budget string, used, limit int) {
		w.journal.BudgetUsed(ctx, budget, used, limit)
	}
	return o
}

// rates publishes an event for a rating that is about to be stored.
func (w *wired) rates(ctx context.Context, visitor string, word feedback.Word, version int64) {
	w.journal.FeedbackGiven(ctx, visitor, word.Epoch, word.Turn, word.Rating, version)
}

// rated counts a rating that differs from the previous one.
func (w *wired) rated(ctx context.Context, c feedback.Change) {
	w.metrics.Feedback.WithLabelValues(cmp.Or(c.Rating, "none")).Inc()
	for _, r := range []struct {
		rating string
		at     time.Time
		n      int
	}{{c.Was, c.WasAt, -1}, {c.Rating, c.At, 1}} {
		switch r.rating {
		case feedback.Up:
			w.usage.Add(ctx, usage.Up, r.at, r.n)
		case feedback.Down:
			w.usage.Add(ctx, usage.Down, r.at, r.n)
		}
	}
}
