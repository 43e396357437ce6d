package clientip

import (
	"cmp"
	"net/http"
	"net/netip"

	"github.com/go-chi/chi/v5/middleware"
	"github.com/go-chi/httprate"
)

// TrustedProxies are the proxies that determine a visitor's address.
type TrustedProxies struct {
	// Header is the single header that contains the address, such as Fly-Client-IP. Empty
	// means X-Forwarded-For.
	Header string
	// Prefixes are the addresses of the proxies. If empty, no header is trusted.
	Prefixes []netip.Prefix
}

// Middleware returns the middleware that determines the visitor's address.
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

// Trusts reports whether the request comes from one of the proxies, whose headers about
// the visitor's connection can be trusted.
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

// Of returns the address that a request is counted by. An IPv6 address is counted by its
// /64, which is what one household or machine has. If a proxy names no client, the proxy
// itself is counted.
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

// Whole returns the network of an address: the /48 of an IPv6 address, or any other
// address itself.
func Whole(addr string) string { return cmp.Or(Network(addr), addr) }

// Network returns the /48 of an IPv6 address, or "" for any other address.
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
