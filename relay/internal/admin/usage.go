package admin

import (
	"net/http"
	"slices"
	"strings"

	"github.com/anyframe-relay/relay/relay/internal/usage"
)

// Usage is what was counted at a site: today, and the days before on which there was
// something, the latest first.
type Usage struct {
	Site string
	Days []usage.Day
}

// usageDay is what was counted at a site on one day.
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

// showUsage answers what was counted on this day of UTC and the 29 before it, today first:
// GET /api/usage.
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
