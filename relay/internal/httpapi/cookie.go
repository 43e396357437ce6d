package httpapi

import (
	"net/http"
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

// cookie returns the name under which a visitor's token travels. A __Host-
// cookie cannot be planted by a subdomain, but needs HTTPS and the root path.
func (a *api) cookie(r *http.Request) (name, path string, secure bool) {
	secure = a.secure(r)
	path = a.options.BasePath
	if path == "" {
		path = "/"
		if secure {
			return "__Host-" + cookieName, path, secure
		}
	}
	return cookieName, path, secure
}

// token returns the token that a request carries, "" if none that counts. The
// cookie counts only on requests of our own origin, and only if there is one of
// the name: a second was planted by somebody.
func (a *api) token(r *http.Request) string {
	if token, ok := bearer(r); ok {
		if visitor.ValidToken(token) {
			return token
		}
		return ""
	}
	if o := a.originOf(r); o != originOurs && o != originNone {
		return ""
	}
	name, _, _ := a.cookie(r)
	cookies := r.CookiesNamed(name)
	if len(cookies) != 1 || !visitor.ValidToken(cookies[0].Value) {
		return ""
	}
	return cookies[0].Value
}

// bearer returns the bearer token of a request, and whether there is one.
func bearer(r *http.Request) (token string, ok bool) {
	scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	return strings.TrimSpace(token), strings.EqualFold(scheme, "Bearer")
}

// visitor returns who is asking, or [problem.VisitorUnknown].
func (a *api) visitor(r *http.Request) (visitor.Visitor, error) {
	token := a.token(r)
	if token == "" {
		return visitor.Visitor{}, problem.VisitorUnknown
	}
	v, err := a.tokens.Resolve(r.Context(), token)
	if err == nil {
		telemetry.FromContext(r.Context()).Visitor = redact.ID(v.ID)
	}
	return v, err
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
