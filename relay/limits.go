package relay

import (
	"errors"
	"net/http"
	"net/netip"
	"sync"

	"github.com/go-chi/chi/v5/middleware"
	"github.com/go-chi/httprate"
)

// limits are who may do how much. They count in this process.
type limits struct {
	config   *Config
	messages *limiter // by visitor
	requests *limiter // by address
	sessions *limiter // by address

	mu        sync.Mutex // held only to look or set
	streams   int
	byVisitor map[string]int
	byAddr    map[string]int
}

func newLimits(c *Config) *limits {
	return &limits{
		config: c, messages: newLimiter(c.RateMessages), requests: newLimiter(c.RateIP), sessions: newLimiter(c.RateSessions),
		byVisitor: map[string]int{}, byAddr: map[string]int{},
	}
}

// newSession returns the refusal if addr has begun as many sessions as it may.
func (l *limits) newSession(addr string) error {
	if p, full := errors.AsType[*problem](l.sessions.full(addr)); full {
		return errSessionQuota.after(p.retryAfter)
	}
	return nil
}

// beginSession counts a session that addr is about to begin, before it is made,
// so that many at once cannot slip past. The caller calls undo if none was made.
func (l *limits) beginSession(addr string) (undo func(), err error) {
	if p, full := errors.AsType[*problem](l.sessions.take(addr)); full {
		return nil, errSessionQuota.after(p.retryAfter)
	}
	return func() { l.sessions.giveBack(addr) }, nil
}

// stream counts one more event stream, until release is called.
func (l *limits) stream(visitor, addr string) (release func(), err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.streams >= l.config.MaxStreams:
		return nil, errCapacity
	case l.byVisitor[visitor] >= l.config.StreamsPerVisitor, l.byAddr[addr] >= l.config.StreamsPerIP:
		return nil, errStreams
	}
	l.streams++
	l.byVisitor[visitor]++
	l.byAddr[addr]++
	return func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.streams--
		if l.byVisitor[visitor]--; l.byVisitor[visitor] == 0 {
			delete(l.byVisitor, visitor)
		}
		if l.byAddr[addr]--; l.byAddr[addr] == 0 {
			delete(l.byAddr, addr)
		}
	}, nil
}

func (l *limits) openStreams() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.streams
}

// findClient returns the middleware that finds the visitor's address.
func (p TrustedProxies) findClient() func(http.Handler) http.Handler {
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

// trusts reports whether the request comes from one of the proxies, so that
// what they say about the visitor's connection counts.
func (p TrustedProxies) trusts(r *http.Request) bool {
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

// clientAddr is what an address is counted by: IPv6 by its /64, since that is
// what one household or one machine has. A proxy that names nobody is counted
// itself.
func clientAddr(r *http.Request) string {
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
