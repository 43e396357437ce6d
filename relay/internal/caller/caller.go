// Package caller determines from a request alone where it comes from, and which of its
// credentials count: the page's origin, the scheme and host that its browser used,
// cookies and bearer tokens. Package visitor checks whether a token is a visitor's.
package caller

import (
	"net/http"
	"strings"

	"github.com/anyframe-relay/relay/relay/internal/clientip"
	"github.com/anyframe-relay/relay/relay/internal/origin"
)

// Policy is the operator's configuration of who may call.
type Policy struct {
	// Site is the name of the served site, empty for the default site.
	Site string
	// BasePath is the path prefix of the site's routes, such as /chat. Empty is the root.
	BasePath string
	// PublicOrigin is the origin at which browsers reach the relay. Empty means unknown.
	PublicOrigin string
	// AllowedOrigins are the origins of other websites whose pages may call.
	AllowedOrigins []string
	// TrustedProxies may report the scheme that a browser used, and may rewrite the host.
	TrustedProxies clientip.TrustedProxies
}

// Whence is the source of a request, as reported by its browser.
type Whence int

// The sources of a request.
const (
	None    Whence = iota // no browser, or one that need not report its origin
	Ours                  // a page of our own origin
	Allowed               // a page of an allowed origin
	Foreign               // any other page
)

// Whence classifies a request. With a public URL, only pages of its origin count as ours,
// and pages at an IP address, which DNS rebinding cannot use. Without one, Sec-Fetch-Site
// is checked first, so that a proxy that rewrites Host does no harm: no page can forge
// that header. If it is missing, the origin must match the request's host.
func (p *Policy) Whence(r *http.Request) Whence {
	from, site := r.Header.Get("Origin"), r.Header.Get("Sec-Fetch-Site")
	byHost := site == "" || site == "same-origin" // the origin may be that of the host
	switch {
	case site == "same-origin" && p.PublicOrigin == "":
		return Ours
	case site == "same-origin" && from == "" && p.ourHost(r):
		return Ours
	case from == "" && (site == "" || site == "none"):
		return None
	case from == "":
		return Foreign
	case from == p.PublicOrigin && site != "none":
		return Ours
	case byHost && (p.PublicOrigin == "" || origin.IsAddress(r.Host)) && origin.Same(from, p.scheme(r), r.Host):
		return Ours
	case origin.Allowed(p.AllowedOrigins, from):
		return Allowed
	}
	return Foreign
}

// A page of any website can make its own host name resolve to the relay's address after
// it has loaded (DNS rebinding). Its requests are then same-origin to the browser, and
// only Host distinguishes them from requests of our pages. An IP address in Host cannot
// be such a name.

// ourHost reports whether cookies count for the Host of a request: the host of the public
// URL, if there is one, or an IP address. A trusted proxy may rewrite it.
func (p *Policy) ourHost(r *http.Request) bool {
	scheme, public, known := strings.Cut(p.PublicOrigin, "://")
	if !known || origin.IsAddress(r.Host) || p.TrustedProxies.Trusts(r) {
		return true
	}
	usual := ":80"
	if scheme == "https" {
		usual = ":443"
	}
	return strings.EqualFold(strings.TrimSuffix(r.Host, usual), public)
}

// scheme returns the scheme that the visitor's browser used, or "" if neither the
// connection nor a proxy reports it. Of several proxies, the first counts.
func (p *Policy) scheme(r *http.Request) string {
	if r.TLS != nil {
		return "https"
	}
	if !p.TrustedProxies.Trusts(r) {
		return ""
	}
	first, _, _ := strings.Cut(r.Header.Get("X-Forwarded-Proto"), ",")
	return strings.ToLower(strings.TrimSpace(first))
}

// secure reports whether the visitor's browser used HTTPS.
func (p *Policy) secure(r *http.Request) bool {
	if scheme := p.scheme(r); scheme != "" {
		return scheme == "https"
	}
	return strings.HasPrefix(p.PublicOrigin, "https://")
}
