package httpapi

import (
	"net/http"
	"strings"

	"github.com/anyframe-relay/relay/relay/internal/caller"
	"github.com/anyframe-relay/relay/relay/internal/origin"
	"github.com/anyframe-relay/relay/relay/internal/problem"
)

// newCrossOrigin returns net/http's own CSRF protection, as a second check of same-origin
// requests.
func newCrossOrigin(publicOrigin string) *http.CrossOriginProtection {
	p := http.NewCrossOriginProtection()
	if publicOrigin != "" {
		_ = p.AddTrustedOrigin(publicOrigin) // we wrote it, so it is a valid origin
	}
	return p
}

// allowedHeaders are the headers that pages of listed origins may send. A browser blocks
// the whole request if one of its headers is not listed here. The list therefore includes
// the headers that tracing libraries add to every fetch; the relay reads none of those.
const allowedHeaders = "authorization, content-type, idempotency-key, last-event-id, relay-challenge, " +
	"traceparent, tracestate, baggage, sentry-trace, newrelic, " +
	"x-datadog-origin, x-datadog-parent-id, x-datadog-sampling-priority, x-datadog-tags, x-datadog-trace-id"

// checkOrigin refuses pages that are not on the list, and lets listed ones read the
// answer. Credentials are never allowed: across origins a visitor is identified by its
// bearer token, so a forged request has no authority. Where the cookie counts, a request
// that changes something must also pass net/http's protection; other requests are not
// checked by it.
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

// checkHost refuses hosts other than localhost if the relay listens on loopback and has
// no public URL. A client is then either on this machine, or uses a name that an attacker
// resolves to it (DNS rebinding).
func (a *api) checkHost(next http.Handler) http.Handler {
	if !a.options.Loopback || a.caller.PublicOrigin != "" {
		return next
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Host != "" && !origin.IsAddress(r.Host) && !strings.EqualFold(origin.HostName(r.Host), "localhost") && !a.caller.TrustedProxies.Trusts(r) {
			private(a.handle(func(http.ResponseWriter, *http.Request) error { return problem.Misdirected })).ServeHTTP(w, r)
			return
		}
		next.ServeHTTP(w, r)
	})
}
