// Package caller tells from a request alone where it comes from, and which
// credentials of it count: the page's origin, the scheme and host that its browser
// used, cookies and bearer tokens. It does not know whether a token is a visitor's;
// package visitor does.
package caller

import (
	"net/http"
	"strings"

	"github.com/anyframe-relay/relay/relay/internal/clientip"
	"github.com/anyframe-relay/relay/relay/internal/origin"
)

// Policy is what the operator says of who may call.
type Policy struct {
	// Site is the name of the site that is served, empty for the default site.
	Site string
	// BasePath is the path that the site's routes are below, such as /chat. Empty is the root.
	BasePath string
	// PublicOrigin is the origin that browsers find the relay at. Empty: it is not known.
	PublicOrigin string
	// AllowedOrigins are those of other websites whose pages may call.
	AllowedOrigins []string
	// TrustedProxies may say what scheme a browser used, and rewrite the host.
	TrustedProxies clientip.TrustedProxies
}

// Whence is where a request comes from, as its browser says.
type Whence int

// Where a request may come from.
const (
	None    Whence = iota // no browser, or one that need not say
	Ours                  // a page of our own origin
	Allowed               // a page of an origin on the list
	Foreign               // any other page
)

// Whence classifies a request. With a public URL, pages of its origin alone
// are ours, and those at an IP address, which no name can be made to mean. Without
// one, Sec-Fetch-Site comes first, which no page can forge, so that a proxy that
// rewrites Host does no harm; where it is missing, the origin must name the host
// that was asked for.
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

// A page of any website can make its own name mean the relay's address once it is
// loaded (DNS rebinding). Its requests are then same-origin to the browser, and
// only Host tells them from those of our pages. An IP address as Host cannot be
// such a name.

// ourHost reports whether cookies count for the Host of a request: that of the
// public URL, if there is one, or an IP address. A trusted proxy may rewrite it.
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

// scheme is what the visitor's browser speaks, "" when neither the connection
// nor a proxy says. Of several proxies the first counts.
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

// secure reports whether the visitor's browser speaks HTTPS.
func (p *Policy) secure(r *http.Request) bool {
	if scheme := p.scheme(r); scheme != "" {
		return scheme == "https"
	}
	return strings.HasPrefix(p.PublicOrigin, "https://")
}
