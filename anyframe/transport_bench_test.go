package anyframe

import (
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
)

// BenchmarkCall measures a call with different transports, 64 at a time.
// docs/go-client.md has its results.
func BenchmarkCall(b *testing.B) {
	var dials atomic.Int64
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, `{"id":1}`) }))
	srv.Config.ConnState = func(_ net.Conn, s http.ConnState) {
		if s == http.StateNew {
			dials.Add(1)
		}
	}
	srv.Start()
	defer srv.Close()
	through := func(next http.RoundTripper) http.RoundTripper { return roundTripper(next.RoundTrip) }
	for _, test := range []struct {
		name string
		opts []Option
	}{
		{"own", nil},
		{"middleware", []Option{WithMiddleware(through)}},
		{"http.DefaultTransport", []Option{WithHTTPClient(&http.Client{Transport: http.DefaultTransport})}},
	} {
		b.Run(test.name, func(b *testing.B) {
			c, err := New(append(test.opts, WithAPIKey(testKey), WithBaseURL(srv.URL), WithDotEnv(""))...)
			if err != nil {
				b.Fatal(err)
			}
			defer c.CloseIdleConnections()
			dials.Store(0)
			b.ReportAllocs()
			b.SetParallelism(32) // times the two processors, at least
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					if _, err := c.Me(b.Context()); err != nil {
						b.Error(err)
						return
					}
				}
			})
			b.ReportMetric(float64(dials.Load())/float64(b.N), "dials/op")
		})
	}
}
