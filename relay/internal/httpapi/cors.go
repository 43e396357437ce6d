package httpapi

import (
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"github.com/anyframe-relay/relay/relay/internal/problem"
)

// origin is where a request comes from, as its browser says.
type origin int

const (
	originNone    origin = iota // no browser, or one that need not say
	originOurs                  // a page of our own origin
	originAllowed               // a page of an origin on the list
	originForeign               // any other page
)

// appOrigin is the origin of a page that an app shell or a browser extension
// serves by a scheme of its own, such as capacitor://localhost or
// chrome-extension://<id>. Browsers leave the case of such a host as it is.
var appOrigin = regexp.MustCompile(`^[a-z][a-z0-9+.-]*://[A-Za-z0-9][A-Za-z0-9._-]*$`)

// webSchemes are those whose pages have other origins: their own kind, or null.
var webSchemes = []string{"http", "https", "ws", "wss", "ftp", "file", "data", "blob", "about", "javascript", "filesystem"}

// ValidOriginPattern accepts https://www.example.com, https://*.example.com,
// the same with a port, with http, the origins of app shells, and *.
func ValidOriginPattern(p string) bool {
	if p == "*" {
		return true
	}
	if scheme, _, _ := strings.Cut(p, "://"); appOrigin.MatchString(p) && !slices.Contains(webSchemes, scheme) {
		return true
	}
	o := strings.Replace(p, "://*.", "://wildcard.", 1)
	return o != "" && o == originOfURL(o) && !strings.Contains(o, "*")
}

// allowed reports whether the list has the origin, exactly or as a subdomain.
func (o *Options) allowed(from string) bool {
	for _, p := range o.AllowedOrigins {
		scheme, domain, wild := strings.Cut(p, "://*.")
		switch {
		case wild:
			rest, ok := strings.CutPrefix(from, scheme+"://")
			if sub, found := strings.CutSuffix(rest, "."+domain); ok && found && validSubdomain(sub) {
				return true
			}
		case p == from, p == "*" && strings.Contains(from, "://"): // "null" is no origin
			return true
		}
	}
	return false
}

func validSubdomain(s string) bool {
	if s == "" || strings.HasPrefix(s, ".") || strings.HasSuffix(s, ".") {
		return false
	}
	for _, r := range s {
		if (r < 'a' || r > 'z') && (r < '0' || r > '9') && r != '-' && r != '.' {
			return false
		}
	}
	return true
}

// originOf classifies a request. With a public URL, pages of its origin alone
// are ours, and those at an IP address, which no name can be made to mean. Without
// one, Sec-Fetch-Site comes first, which no page can forge, so that a proxy that
// rewrites Host does no harm; where it is missing, the origin must name the host
// that was asked for.
func (a *api) originOf(r *http.Request) origin {
	from, site := r.Header.Get("Origin"), r.Header.Get("Sec-Fetch-Site")
	byHost := site == "" || site == "same-origin" // the origin may be that of the host
	switch {
	case site == "same-origin" && a.publicOrigin == "":
		return originOurs
	case site == "same-origin" && from == "" && a.ourHost(r):
		return originOurs
	case from == "" && (site == "" || site == "none"):
		return originNone
	case from == "":
		return originForeign
	case from == a.publicOrigin && site != "none":
		return originOurs
	case byHost && (a.publicOrigin == "" || isAddress(r.Host)) && sameHost(from, a.scheme(r), r.Host):
		return originOurs
	case a.options.allowed(from):
		return originAllowed
	}
	return originForeign
}

// sameHost reports whether an origin is of this host. The scheme counts only
// when it is known: a proxy that ends TLS speaks plain HTTP to us.
func sameHost(o, scheme, host string) bool {
	known, rest, _ := strings.Cut(o, "://")
	return rest != "" && strings.EqualFold(rest, host) && (known == scheme || scheme == "")
}

// originOfURL returns the origin of a URL as a browser writes it, "" when it
// has none.
func originOfURL(raw string) string {
	u, err := url.Parse(raw)
	if err != nil || !hostPattern.MatchString(u.Host) {
		return ""
	}
	host := strings.ToLower(u.Host)
	switch u.Scheme {
	case "https":
		host = strings.TrimSuffix(host, ":443")
	case "http":
		host = strings.TrimSuffix(host, ":80")
	default:
		return ""
	}
	return u.Scheme + "://" + host
}

// hostPattern is a host as browsers write it: names outside ASCII are encoded.
var hostPattern = regexp.MustCompile(`^([A-Za-z0-9._-]*[A-Za-z0-9]|\[[0-9A-Fa-f:.]+\])(:[0-9]+)?$`)

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
		switch a.originOf(r) {
		case originForeign:
			a.refuse(w, r, problem.Origin)
			return
		case originAllowed:
			h.Set("Access-Control-Allow-Origin", r.Header.Get("Origin"))
			h.Set("Access-Control-Expose-Headers", "Retry-After, Content-Disposition")
		case originNone, originOurs:
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
