package admin

import (
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"

	"github.com/anyframe-relay/relay/relay/internal/problem"
)

// guard refuses what a website makes an operator's browser ask: requests across
// origins, and those to a name that is not meant for the admin listener, for any name
// can be made to mean its address (DNS rebinding). Only IP addresses, localhost and the
// listed hosts are meant.
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
