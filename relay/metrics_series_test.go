package relay_test

import (
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

// No request can create a new metric series.
func TestMetrics_ArbitraryRequests_SeriesBounded(t *testing.T) {
	t.Parallel()
	d := newOffline(t, nil)
	token := d.mint()
	series := func() (n int, labels []string) {
		families, err := d.reg.Gather()
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range families {
			if strings.HasPrefix(f.GetName(), "relay_store_") {
				continue // by operation, which no request chooses; some series appear over time
			}
			for _, m := range f.GetMetric() {
				n++
				for _, l := range m.GetLabel() {
					labels = append(labels, l.GetValue())
				}
			}
		}
		slices.Sort(labels)
		return n, slices.Compact(labels)
	}
	random := func() string {
		var b strings.Builder
		for range rand.IntN(12) + 1 {
			b.WriteByte("abcdefghijklmnopqrstuvwxyzABC0123456789-_.~"[rand.IntN(43)])
		}
		return b.String()
	}
	methods := []string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT", "PRI", "get", "X"}
	known := []string{
		"/", "/widget.js", "/healthz", "/readyz", "/v1/visitor", "/v1/session", "/v1/messages", "/v1/responses", "/v1/transcript", "/v1/nothing", "/nothing",
		"/assets/x.js", "/v1",
	}
	hammer := func() {
		for _, method := range methods {
			for _, path := range known {
				d.ask(method, path, `{"x":1}`, bearer(token)...)
				d.ask(method, path, "", "Authorization", "Bearer "+random())
				d.ask(method, path, "", "Origin", "https://"+random())
			}
			for range 20 {
				d.ask(method, "/"+random(), "", "Origin", random(), "User-Agent", "\xff\xfe"+random())
				d.ask(method, "/v1/"+random()+"/"+random()+"?"+random(), "", "Idempotency-Key", random(), "X-Request-Id", random())
				d.ask(method, "/assets/"+random()+"%ff", "", "Host", random())
			}
		}
		for range 50 {
			d.ask(random(), "/"+random(), "")
		}
		token = d.mint() // the last token was revoked during the requests
	}
	hammer()
	n, labels := series()
	hammer()
	hammer()
	again, now := series()
	if n != again {
		t.Errorf("series: got %d, then %d, want no more; new labels: %v", n, again, slices.DeleteFunc(now, func(l string) bool { return slices.Contains(labels, l) }))
	}
	for _, want := range []string{"other", "GET /v1/session", "POST /v1/messages", "not_found"} {
		if !slices.Contains(labels, want) {
			t.Errorf("labels: got %v, want %s among them", labels, want)
		}
	}
}
