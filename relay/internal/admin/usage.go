package admin

import (
	"net/http"
	"slices"
	"strings"

	"github.com/anyframe-relay/relay/relay/internal/usage"
)

// Usage is the usage of a site: today, and the earlier days that have any, latest first.
type Usage struct {
	Site string
	Days []usage.Day
}

// usageDay is the usage of a site on one day.
type usageDay struct {
	Date     string `json:"date"`
	Site     string `json:"site"`
	Turns    int    `json:"turns"`
	Sessions int    `json:"sessions"`
	Feedback struct {
		Up   int `json:"up"`
		Down int `json:"down"`
	} `json:"feedback"`
}

// showUsage returns the usage of the current UTC day and the 29 days before it, today
// first: GET /api/usage.
func (a *Admin) showUsage(w http.ResponseWriter, r *http.Request) error {
	sites, err := a.Usage(r.Context())
	if err != nil {
		return err
	}
	out := struct {
		Days []usageDay `json:"days"`
	}{[]usageDay{}}
	for _, site := range sites {
		for _, d := range site.Days {
			row := usageDay{Date: d.Date, Site: site.Site, Turns: d.Turns, Sessions: d.Sessions}
			row.Feedback.Up, row.Feedback.Down = d.Up, d.Down
			out.Days = append(out.Days, row)
		}
	}
	slices.SortStableFunc(out.Days, func(x, y usageDay) int { return strings.Compare(y.Date, x.Date) })
	return answer(w, out)
}
