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

// Cookie returns the name and the path of the cookie with a visitor's token. Cookies are
// not separated by port, and a browser may send those of several paths at once. The name
// therefore contains the site, the port unless it is the scheme's default, and a hash of
// the base path. A sibling domain cannot set a __Host- cookie, which requires HTTPS and
// the root path.
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

// port returns the port at which browsers reach the relay, or "" for the scheme's
// default.
func (p *Policy) port(r *http.Request, secure bool) string {
	host, usual := r.Host, "80"
	if secure {
		usual = "443"
	}
	if _, public, ok := strings.Cut(p.PublicOrigin, "://"); ok {
		host = public // without the default port already
	}
	port := (&url.URL{Host: host}).Port() // digits only
	if port == usual || len(port) > 5 {
		return ""
	}
	return port
}

// maxTokens is how many cookies of one name are tried.
const maxTokens = 4

// Tokens returns the tokens of a request that may count. There is at most one, except for
// cookies: a browser sends those of several domains and paths without distinguishing
// them, so each must be tried. Cookies count only on requests of our own origin, and with
// our name.
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

// SetCookie sets the cookie with the token; an empty token deletes it.
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
