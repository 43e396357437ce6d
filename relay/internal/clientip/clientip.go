package clientip

import (
	"cmp"
	"net/http"
	"net/netip"

	"github.com/go-chi/chi/v5/middleware"
	"github.com/go-chi/httprate"
)

// TrustedProxies says whose word counts for a visitor's address.
type TrustedProxies struct {
	// Header is the single header that carries the address, such as
	// Fly-Client-IP. Empty means X-Forwarded-For.
	Header string
	// Prefixes are the addresses of the proxies. None: no header is believed.
	Prefixes []netip.Prefix
}

// Middleware returns the middleware that finds the visitor's address.
func (p TrustedProxies) Middleware() func(http.Handler) http.Handler {
	prefixes := make([]string, 0, len(p.Prefixes))
	for _, prefix := range p.Prefixes {
		prefixes = append(prefixes, prefix.String())
	}
	switch {
	case len(prefixes) == 0:
		return middleware.ClientIPFromRemoteAddr
	case p.Header != "":
		return middleware.ClientIPFromHeader(p.Header, prefixes...)
	default:
		return middleware.ClientIPFromXFF(prefixes...)
	}
}

// Trusts reports whether the request comes from one of the proxies, so that
// what they say about the visitor's connection counts.
func (p TrustedProxies) Trusts(r *http.Request) bool {
	peer, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return false
	}
	addr := peer.Addr().Unmap().WithZone("")
	for _, prefix := range p.Prefixes {
		if prefix.Contains(addr) {
			return true
		}
	}
	return false
}

// Of is what an address is counted by: IPv6 by its /64, since that is
// what one household or one machine has. A proxy that names no client is counted
// itself.
func Of(r *http.Request) string {
	ip := middleware.GetClientIP(r.Context())
	if ip == "" {
		if peer, err := netip.ParseAddrPort(r.RemoteAddr); err == nil {
			ip = peer.Addr().Unmap().WithZone("").String()
		} else {
			ip = r.RemoteAddr
		}
	}
	return httprate.CanonicalizeIP(ip)
}

// Whole is the network that an address belongs to: the /48 of an IPv6 address, and
// any other address itself.
func Whole(addr string) string { return cmp.Or(Network(addr), addr) }

// Network is the /48 of an IPv6 address, empty for any other.
func Network(addr string) string {
	ip, err := netip.ParseAddr(addr)
	if err != nil || !ip.Is6() || ip.Is4In6() {
		return ""
	}
	network, err := ip.WithZone("").Prefix(48)
	if err != nil {
		return ""
	}
	return network.String()
}
