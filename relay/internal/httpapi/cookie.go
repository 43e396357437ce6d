package httpapi

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/anyframe-relay/relay/relay/internal/problem"
	"github.com/anyframe-relay/relay/relay/internal/redact"
	"github.com/anyframe-relay/relay/relay/internal/telemetry"
	"github.com/anyframe-relay/relay/relay/internal/visitor"
)

const cookieName = "relay_visitor"

// scheme is what the visitor's browser speaks, "" when neither the connection
// nor a proxy says. Of several proxies the first counts.
func (a *api) scheme(r *http.Request) string {
	if r.TLS != nil {
		return "https"
	}
	if !a.options.TrustedProxies.Trusts(r) {
		return ""
	}
	first, _, _ := strings.Cut(r.Header.Get("X-Forwarded-Proto"), ",")
	return strings.ToLower(strings.TrimSpace(first))
}

// secure reports whether the visitor's browser speaks HTTPS.
func (a *api) secure(r *http.Request) bool {
	if scheme := a.scheme(r); scheme != "" {
		return scheme == "https"
	}
	return strings.HasPrefix(a.publicOrigin, "https://")
}

// cookie returns the name and the path under which a visitor's token travels.
// Cookies know no ports, and a browser may send those of several paths at once:
// so the name has the port, unless it is the scheme's own, and a hash of the base
// path. A __Host- cookie cannot be planted by a sibling domain; it needs HTTPS
// and the root path.
func (a *api) cookie(r *http.Request) (name, path string, secure bool) {
	secure = a.secure(r)
	name, path = cookieName, "/"
	if port := a.port(r, secure); port != "" {
		name += "_" + port
	}
	if base := a.options.BasePath; base != "" {
		sum := sha256.Sum256([]byte(base))
		name += "_" + hex.EncodeToString(sum[:4])
		path = base
	}
	if secure {
		return "__Host-" + name, "/", secure
	}
	return name, path, secure
}

// port is the port that browsers find the relay at, empty for that of the scheme.
func (a *api) port(r *http.Request, secure bool) string {
	host, usual := r.Host, "80"
	if secure {
		usual = "443"
	}
	if _, public, ok := strings.Cut(a.publicOrigin, "://"); ok {
		host = public // its own port is left out already
	}
	port := (&url.URL{Host: host}).Port() // digits
	if port == usual || len(port) > 5 {
		return ""
	}
	return port
}

// maxTokens is how many cookies of one name are tried.
const maxTokens = 4

// candidates are the tokens that a request carries and that may count. There is
// one, but for cookies: a browser sends those of several domains and paths, and
// does not tell which is whose, so that each is tried. Cookies count only on
// requests of our own origin, and for a name that is ours.
func (a *api) candidates(r *http.Request) (tokens []string) {
	if token, ok := bearer(r); ok {
		if visitor.ValidToken(token) {
			return []string{token}
		}
		return nil
	}
	if o := a.originOf(r); o != originOurs && o != originNone || !a.ourHost(r) {
		return nil
	}
	name, _, _ := a.cookie(r)
	for _, c := range r.CookiesNamed(name) {
		if visitor.ValidToken(c.Value) && !slices.Contains(tokens, c.Value) && len(tokens) < maxTokens {
			tokens = append(tokens, c.Value)
		}
	}
	return tokens
}

// bearer returns the bearer token of a request, and whether there is one.
func bearer(r *http.Request) (token string, ok bool) {
	scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	return strings.TrimSpace(token), strings.EqualFold(scheme, "Bearer")
}

// visitor returns who is asking, or [problem.VisitorUnknown].
func (a *api) visitor(r *http.Request) (visitor.Visitor, error) {
	for _, token := range a.candidates(r) {
		v, err := a.tokens.Resolve(r.Context(), token)
		if errors.Is(err, problem.VisitorUnknown) {
			continue
		}
		if err == nil {
			telemetry.FromContext(r.Context()).Visitor = redact.ID(v.ID)
		}
		return v, err
	}
	return visitor.Visitor{}, problem.VisitorUnknown
}

func (a *api) setCookie(w http.ResponseWriter, r *http.Request, token string, expires time.Time) {
	name, path, secure := a.cookie(r)
	c := &http.Cookie{ //nolint:gosec // Secure wherever the browser speaks HTTPS
		Name: name, Value: token, Path: path, Expires: expires, MaxAge: int(time.Until(expires).Seconds()),
		HttpOnly: true, Secure: secure, SameSite: http.SameSiteLaxMode,
	}
	if token == "" {
		c.MaxAge = -1
	}
	http.SetCookie(w, c)
}
