package relay

import (
	"context"
	"math"
	"net/http"
	"time"

	"github.com/anyframe-relay/relay/relay/internal/httpapi"
)

// asked returns the value function of a gauge that counts rows of the store. It returns
// NaN if the store fails.
func asked(count func(context.Context) (int, error)) func() float64 {
	return func() float64 {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		n, err := count(ctx)
		if err != nil {
			return math.NaN()
		}
		return float64(n)
	}
}

// alive serves GET /healthz, the liveness probe. It answers as long as the process runs.
func (s *Server) alive(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	_, _ = w.Write([]byte("ok\n"))
}

// ready serves GET /readyz, the readiness probe. If the relay is not ready, the answer
// says why.
func (s *Server) ready(w http.ResponseWriter, r *http.Request) {
	out := struct {
		Ready   bool     `json:"ready"`
		Reasons []string `json:"reasons"`
	}{true, []string{}}
	not := func(reason string) { out.Ready, out.Reasons = false, append(out.Reasons, reason) }
	if s.draining.Load() {
		not("draining")
	}
	if err := s.storeHealth(r.Context()); err != nil {
		not("the store cannot be reached")
	}
	if s.pool.KeyRefused() {
		not("AnyFrame rejects the API key")
	}
	code := http.StatusOK
	if !out.Ready {
		code = http.StatusServiceUnavailable
	}
	w.Header().Set("Cache-Control", "no-store")
	_ = httpapi.WriteJSON(w, code, out) // strings only: cannot fail
}

// storeHealth pings the store, at most once a second however many callers there are.
func (s *Server) storeHealth(ctx context.Context) error {
	s.pingMu.Lock()
	defer s.pingMu.Unlock()
	if time.Since(s.pinged) < time.Second {
		return s.health
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
	defer cancel()
	err := s.store.Ping(ctx)
	if (err == nil) != (s.health == nil) || s.pinged.IsZero() && err != nil {
		if err != nil {
			s.log.Error("the store cannot be reached", "error", err)
		} else {
			s.log.Info("the store is reachable again")
		}
	}
	s.pinged, s.health = time.Now(), err
	return err
}
