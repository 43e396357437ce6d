package relay

import (
	"context"
	"math"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/anyframe-relay/relay/relay/internal/store"
)

// budgets exports how much of each site's daily turn budget is used, for the sites that
// have served a request. Each scrape reads the store; a failed read yields NaN.
type budgets struct {
	server *Server
	store  store.Store // unobserved: scraping metrics must not count as store traffic

	today, budget, used *prometheus.Desc
}

// budgetWait bounds the store reads of one scrape, over all sites.
const budgetWait = time.Second

func newBudgets(s *Server, st store.Store) *budgets {
	gauge := func(name, help string) *prometheus.Desc { return prometheus.NewDesc(name, help, []string{"site"}, nil) }
	return &budgets{
		s, st,
		gauge("relay_turns_today", "Turns that AnyFrame accepted on the current UTC day, over all processes on the same store, by site."),
		gauge("relay_turns_budget", "Maximum number of turns per UTC day (RELAY_TURNS_PER_DAY), 0 if unlimited, by site."),
		gauge("relay_budget_used_ratio", "Used share of RELAY_TURNS_PER_DAY, from 0 to 1, 0 if unlimited, by site."),
	}
}

// Describe implements [prometheus.Collector].
func (b *budgets) Describe(to chan<- *prometheus.Desc) {
	to <- b.today
	to <- b.budget
	to <- b.used
}

// Collect implements [prometheus.Collector].
func (b *budgets) Collect(to chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), budgetWait)
	defer cancel()
	for _, site := range *b.server.sites.Load() {
		w := site.current()
		if w == nil {
			continue
		}
		l := w.limits.Load()
		n, err := l.TurnsToday(ctx, store.ForSite(b.store, site.name))
		today, budget, used := float64(n), float64(l.TurnsPerDay()), 0.0
		if err != nil {
			today = math.NaN()
		}
		if budget > 0 {
			used = today / budget
		}
		for desc, value := range map[*prometheus.Desc]float64{b.today: today, b.budget: budget, b.used: used} {
			to <- prometheus.MustNewConstMetric(desc, prometheus.GaugeValue, value, site.label())
		}
	}
}
