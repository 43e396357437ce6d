package upstream

import (
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/anyframe-relay/relay/relay/internal/telemetry"
)

// accounts simulates AnyFrame for several keys: the statuses that each one gets for calls
// about a session, the last of them for all later calls.
type accounts struct {
	statuses map[string][]int // by key
	asked    []string         // the keys of these calls
}

// RoundTrip implements [http.RoundTripper].
func (a *accounts) RoundTrip(r *http.Request) (*http.Response, error) {
	res := &http.Response{StatusCode: http.StatusOK, Header: http.Header{}, Body: http.NoBody, Request: r}
	if strings.HasSuffix(r.URL.Path, "/api/me") {
		return res, nil
	}
	key := strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer afm_account_")
	a.asked = append(a.asked, key)
	all := a.statuses[key]
	if res.StatusCode = all[0]; len(all) > 1 {
		a.statuses[key] = all[1:]
	}
	return res, nil
}

func (*accounts) Close() {}

// A site changed its account from old to new, and a session exists at one of them.
func TestRoute_TwoAccounts_SessionStaysWhereItIs(t *testing.T) {
	for name, tt := range map[string]struct {
		statuses map[string][]int
		want     []int    // of the calls
		asked    []string // by them
	}{
		"found at the old one":   {map[string][]int{"new": {404}, "old": {200}}, []int{200, 200}, []string{"new", "old", "old"}},
		"found at the new one":   {map[string][]int{"new": {200}, "old": {404}}, []int{200, 200}, []string{"new", "new"}},
		"nowhere":                {map[string][]int{"new": {404}, "old": {404}}, []int{404, 404}, []string{"new", "old", "new", "old"}},
		"the new one is busy":    {map[string][]int{"new": {429, 404}, "old": {200}}, []int{429, 200}, []string{"new", "new", "old"}},
		"the new one fails":      {map[string][]int{"new": {500, 404}, "old": {200}}, []int{500, 200}, []string{"new", "new", "old"}},
		"the new one refuses":    {map[string][]int{"new": {403}, "old": {404}}, []int{403, 403}, []string{"new", "old", "new", "old"}},
		"the old one refuses":    {map[string][]int{"new": {404}, "old": {200, 403}}, []int{200, 403}, []string{"new", "old", "old", "new"}},
		"the key was rotated":    {map[string][]int{"new": {404, 200}, "old": {200, 403}}, []int{200, 200, 200}, []string{"new", "old", "old", "new", "new"}},
		"a conflict proves it":   {map[string][]int{"new": {409, 404}, "old": {200}}, []int{409, 404}, []string{"new", "new"}},
		"deleted where it began": {map[string][]int{"new": {404, 200}, "old": {200, 404}}, []int{200, 404}, []string{"new", "old", "old"}},
	} {
		t.Run(name, func(t *testing.T) {
			plane := &accounts{statuses: tt.statuses}
			log := slog.New(slog.DiscardHandler)
			pool := NewPool(PoolOptions{Transport: plane, Metrics: telemetry.NewMetrics(prometheus.NewRegistry()), Log: log, Calls: log})
			route, _, err := pool.Route(Account{"http://127.0.0.1", "afm_account_old"})
			if err != nil {
				t.Fatal(err)
			}
			if err := route.Use(Account{"http://127.0.0.1", "afm_account_new"}); err != nil {
				t.Fatal(err)
			}
			ctx := For(t.Context(), NewCaller("visitor"))
			var got []int
			for range tt.want {
				req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://127.0.0.1/api/sessions/s/message", strings.NewReader("{}"))
				if err != nil {
					t.Fatal(err)
				}
				res, err := route.send(req)
				if err != nil {
					t.Fatal(err)
				}
				_ = res.Body.Close()
				got = append(got, res.StatusCode)
			}
			if !slices.Equal(got, tt.want) || !slices.Equal(plane.asked, tt.asked) {
				t.Errorf("got %v from %v, want %v from %v", got, plane.asked, tt.want, tt.asked)
			}
		})
	}
}
