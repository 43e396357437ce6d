package admin

import (
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"

	"github.com/anyframe-relay/relay/relay/internal/problem"
)

// guard refuses requests that a website makes through an operator's browser: cross-origin
// requests, and requests for an unlisted host name, because any name can be resolved to
// the admin listener's address (DNS rebinding). Only IP addresses, localhost and the
// listed hosts are accepted.
func guard(next http.Handler, hosts []string) http.Handler {
	cross := http.NewCrossOriginProtection()
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("X-Frame-Options", "DENY")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		host := r.Host
		if name, _, err := net.SplitHostPort(host); err == nil {
			host = name
		}
		host = strings.ToLower(strings.Trim(host, "[]"))
		if _, err := netip.ParseAddr(host); err != nil && host != "" && host != "localhost" && !slices.Contains(hosts, host) {
			_ = problem.Write(w, problem.Misdirected.With("This host name is not allowed. If it is for operators, add it to RELAY_ADMIN_HOSTS."))
			return
		}
		site := r.Header.Get("Sec-Fetch-Site")
		if (site != "" && site != "same-origin" && site != "none") || cross.Check(r) != nil {
			_ = problem.Write(w, problem.Origin.With("Requests from other websites are not allowed."))
			return
		}
		next.ServeHTTP(w, r)
	})
}
