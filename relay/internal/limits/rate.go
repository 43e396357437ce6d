package limits

import (
	"cmp"
	"slices"
	"time"
)

// Day is the window of a [Rate] per day of UTC. Such a rate starts again at midnight;
// every other window slides.
const Day = 24 * time.Hour

// Rate is so many times per window. The zero Rate is no limit.
type Rate struct {
	Limit  int
	Window time.Duration
}

// daily reports whether the rate is per day of UTC.
func (r Rate) daily() bool { return r.Window == Day }

// Rates are limits that hold together. None is no limit.
type Rates []Rate

// part is how much of a limit counts: of per per, rounded up.
type part struct{ of, per int }

// whole is all of a limit.
var whole = part{1, 1}

func (p part) times(n int) part { return part{n * p.of, p.per} }

// share is the part of a limit; of none it is none.
func (p part) share(limit int) int { return (limit*p.of + p.per - 1) / p.per }

// longestFirst returns the rates that limit something, that part of each, in the order
// in which they are asked: what is refused by the longest is told the longest wait.
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

// dayOf is the day of UTC of a time, and when it is over.
func dayOf(at time.Time) (began, over time.Time) {
	began = at.UTC().Truncate(Day)
	return began, began.Add(Day)
}
