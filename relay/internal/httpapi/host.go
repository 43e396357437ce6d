package httpapi

import (
	"net"
	"net/http"
	"net/netip"
	"strings"

	"github.com/anyframe-relay/relay/relay/internal/problem"
)

// A page of any website can make its own name mean the relay's address once it is
// loaded (DNS rebinding). Its requests are then same-origin to the browser, and
// only Host tells them from those of our pages. An IP address as Host cannot be
// such a name.

// hostName is the name or address in a Host header, without port and brackets.
func hostName(host string) string {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	return strings.Trim(host, "[]")
}

// isAddress reports whether a Host header names an IP address.
func isAddress(host string) bool {
	_, err := netip.ParseAddr(hostName(host))
	return err == nil
}

// ourHost reports whether cookies count for the Host of a request: that of the
// public URL, if there is one, or an IP address. A trusted proxy may rewrite it.
func (a *api) ourHost(r *http.Request) bool {
	scheme, public, known := strings.Cut(a.publicOrigin, "://")
	if !known || isAddress(r.Host) || a.options.TrustedProxies.Trusts(r) {
		return true
	}
	usual := ":80"
	if scheme == "https" {
		usual = ":443"
	}
	return strings.EqualFold(strings.TrimSuffix(r.Host, usual), public)
}

// checkHost refuses other names than localhost where the relay listens on
// loopback and has no public URL: whoever comes there is on this machine, or was
// led there by a name that was made to mean it.
func (a *api) checkHost(next http.Handler) http.Handler {
	if !a.options.Loopback || a.publicOrigin != "" {
		return next
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Host != "" && !isAddress(r.Host) && !strings.EqualFold(hostName(r.Host), "localhost") && !a.options.TrustedProxies.Trusts(r) {
			a.refuse(w, r, problem.Misdirected)
			return
		}
		next.ServeHTTP(w, r)
	})
}
