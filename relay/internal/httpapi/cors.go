package httpapi

import (
	"net/http"
	"strings"

	"github.com/anyframe-relay/relay/relay/internal/caller"
	"github.com/anyframe-relay/relay/relay/internal/origin"
	"github.com/anyframe-relay/relay/relay/internal/problem"
)

// newCrossOrigin is net/http's own protection against forged requests, a second
// guard for what counts as ours.
func newCrossOrigin(publicOrigin string) *http.CrossOriginProtection {
	p := http.NewCrossOriginProtection()
	if publicOrigin != "" {
		_ = p.AddTrustedOrigin(publicOrigin) // we wrote it, so it is an origin
	}
	return p
}

// allowedHeaders are what pages of listed origins may send. A browser refuses the
// whole request for one header that is not named here, so the headers that
// tracing libraries add to every fetch are, too. The relay reads none of those.
const allowedHeaders = "authorization, content-type, idempotency-key, last-event-id, relay-challenge, " +
	"traceparent, tracestate, baggage, sentry-trace, newrelic, " +
	"x-datadog-origin, x-datadog-parent-id, x-datadog-sampling-priority, x-datadog-tags, x-datadog-trace-id"

// checkOrigin refuses pages that are not on the list and lets those that are
// read the answer. Credentials are never allowed: across origins a visitor is
// known by its bearer token, so there is nothing for a forged request to ride on.
// Where the cookie counts, a request that changes something must also pass
// net/http's protection, which looks at no others.
func (a *api) checkOrigin(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Add("Vary", "Origin")
		switch a.caller.Whence(r) {
		case caller.Foreign:
			a.refuse(w, r, problem.Origin)
			return
		case caller.Allowed:
			h.Set("Access-Control-Allow-Origin", r.Header.Get("Origin"))
			h.Set("Access-Control-Expose-Headers", "Retry-After, Content-Disposition")
		case caller.None, caller.Ours:
			if a.crossOrigin.Check(r) != nil {
				a.refuse(w, r, problem.Origin)
				return
			}
		}
		if r.Method == http.MethodOptions {
			h.Set("Access-Control-Allow-Methods", "GET, POST, DELETE")
			h.Set("Access-Control-Allow-Headers", allowedHeaders)
			h.Set("Access-Control-Max-Age", "7200")
			w.WriteHeader(http.StatusNoContent)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// checkHost refuses other names than localhost where the relay listens on
// loopback and has no public URL: a client is then on this machine, or came by a
// name that an attacker resolves to it (DNS rebinding).
func (a *api) checkHost(next http.Handler) http.Handler {
	if !a.options.Loopback || a.caller.PublicOrigin != "" {
		return next
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Host != "" && !origin.IsAddress(r.Host) && !strings.EqualFold(origin.HostName(r.Host), "localhost") && !a.caller.TrustedProxies.Trusts(r) {
			a.refuse(w, r, problem.Misdirected)
			return
		}
		next.ServeHTTP(w, r)
	})
}
