package caller

import (
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/anyframe-relay/relay/relay/internal/visitor"
)

const cookieName = "relay_visitor"

// Cookie returns the name and the path under which a visitor's token travels.
// Cookies know no ports, and a browser may send those of several paths at once:
// so the name has the site, the port, unless it is the scheme's own, and a hash of the
// base path. A __Host- cookie cannot be planted by a sibling domain; it needs HTTPS
// and the root path.
func (p *Policy) Cookie(r *http.Request) (name, path string, secure bool) {
	secure = p.secure(r)
	name, path = cookieName, "/"
	if p.Site != "" {
		name += "_" + p.Site
	}
	if port := p.port(r, secure); port != "" {
		name += "_" + port
	}
	if base := p.BasePath; base != "" {
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
func (p *Policy) port(r *http.Request, secure bool) string {
	host, usual := r.Host, "80"
	if secure {
		usual = "443"
	}
	if _, public, ok := strings.Cut(p.PublicOrigin, "://"); ok {
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

// Tokens are those tokens that a request carries and that may count. There is
// one, except for cookies: a browser sends those of several domains and paths, and
// does not tell which is whose, so that each is tried. Cookies count only on
// requests of our own origin, and for a name that is ours.
func (p *Policy) Tokens(r *http.Request) (tokens []string) {
	if token, ok := Bearer(r); ok {
		if visitor.ValidToken(token) {
			return []string{token}
		}
		return nil
	}
	if o := p.Whence(r); o != Ours && o != None || !p.ourHost(r) {
		return nil
	}
	name, _, _ := p.Cookie(r)
	for _, c := range r.CookiesNamed(name) {
		if visitor.ValidToken(c.Value) && !slices.Contains(tokens, c.Value) && len(tokens) < maxTokens {
			tokens = append(tokens, c.Value)
		}
	}
	return tokens
}

// Bearer returns the bearer token of a request, and whether there is one.
func Bearer(r *http.Request) (token string, ok bool) {
	scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	return strings.TrimSpace(token), strings.EqualFold(scheme, "Bearer")
}

// SetCookie gives a browser its token; an empty one takes the cookie away.
func (p *Policy) SetCookie(w http.ResponseWriter, r *http.Request, token string, expires time.Time) {
	name, path, secure := p.Cookie(r)
	c := &http.Cookie{ //nolint:gosec // Secure wherever the browser speaks HTTPS
		Name: name, Value: token, Path: path, Expires: expires, MaxAge: int(time.Until(expires).Seconds()),
		HttpOnly: true, Secure: secure, SameSite: http.SameSiteLaxMode,
	}
	if token == "" {
		c.MaxAge = -1
	}
	http.SetCookie(w, c)
}
