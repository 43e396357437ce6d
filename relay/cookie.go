package relay

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
func (s *Server) scheme(r *http.Request) string {
	if r.TLS != nil {
		return "https"
	}
	if !s.config.TrustedProxies.Trusts(r) {
		return ""
	}
	first, _, _ := strings.Cut(r.Header.Get("X-Forwarded-Proto"), ",")
	return strings.ToLower(strings.TrimSpace(first))
}

// secure reports whether the visitor's browser speaks HTTPS.
func (s *Server) secure(r *http.Request) bool {
	if scheme := s.scheme(r); scheme != "" {
		return scheme == "https"
	}
	return strings.HasPrefix(s.publicOrigin, "https://")
}

// cookie returns the name under which a visitor's token travels. A __Host-
// cookie cannot be planted by a subdomain, but needs HTTPS and the root path.
func (s *Server) cookie(r *http.Request) (name, path string, secure bool) {
	secure = s.secure(r)
	path = s.config.BasePath
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
func (s *Server) token(r *http.Request) string {
	if token, ok := bearer(r); ok {
		if visitor.ValidToken(token) {
			return token
		}
		return ""
	}
	if o := s.originOf(r); o != originOurs && o != originNone {
		return ""
	}
	name, _, _ := s.cookie(r)
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
func (s *Server) visitor(r *http.Request) (visitor.Visitor, error) {
	token := s.token(r)
	if token == "" {
		return visitor.Visitor{}, problem.VisitorUnknown
	}
	v, err := s.tokens.Resolve(r.Context(), token)
	if err == nil {
		telemetry.FromContext(r.Context()).Visitor = redact.ID(v.ID)
	}
	return v, err
}

func (s *Server) setCookie(w http.ResponseWriter, r *http.Request, token string, expires time.Time) {
	name, path, secure := s.cookie(r)
	c := &http.Cookie{ //nolint:gosec // Secure wherever the browser speaks HTTPS
		Name: name, Value: token, Path: path, Expires: expires, MaxAge: int(time.Until(expires).Seconds()),
		HttpOnly: true, Secure: secure, SameSite: http.SameSiteLaxMode,
	}
	if token == "" {
		c.MaxAge = -1
	}
	http.SetCookie(w, c)
}
