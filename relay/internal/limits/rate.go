package limits

import (
	"cmp"
	"slices"
	"time"
)

// Day is the window of a [Rate] per UTC day. Such a rate restarts at midnight; every
// other window slides.
const Day = 24 * time.Hour

// Rate is a number of operations per window. The zero Rate is no limit.
type Rate struct {
	Limit  int
	Window time.Duration
}

// daily reports whether the rate is per UTC day.
func (r Rate) daily() bool { return r.Window == Day }

// Rates are limits that all apply. An empty list is no limit.
type Rates []Rate

// part is a fraction of a limit, of divided by per, rounded up.
type part struct{ of, per int }

// whole is a complete limit.
var whole = part{1, 1}

func (p part) times(n int) part { return part{n * p.of, p.per} }

// share returns that part of a limit; no limit stays none.
func (p part) share(limit int) int { return (limit*p.of + p.per - 1) / p.per }

// longestFirst returns the rates that limit something, each reduced to part p, in the
// order in which they are checked. The longest window comes first, because its refusal
// has the longest wait.
func (rs Rates) longestFirst(p part) Rates {
	var all Rates
	for _, r := range rs {
		if r.Limit > 0 {
			all = append(all, Rate{p.share(r.Limit), r.Window})
		}
	}
	slices.SortStableFunc(all, func(a, b Rate) int { return cmp.Compare(b.Window, a.Window) })
	return all
}

// dayOf returns the beginning and the end of the UTC day of a time.
func dayOf(at time.Time) (began, over time.Time) {
	began = at.UTC().Truncate(Day)
	return began, began.Add(Day)
}
