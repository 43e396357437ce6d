package relay

import (
	"context"
	"errors"
	"net/http"
	"regexp"
	"strings"
	"time"

	"github.com/alexedwards/scs/v2"

	"github.com/anyframe-relay/relay/relay/internal/problem"
	"github.com/anyframe-relay/relay/relay/internal/redact"
	"github.com/anyframe-relay/relay/relay/internal/session"
	"github.com/anyframe-relay/relay/relay/internal/telemetry"
	"github.com/anyframe-relay/relay/relay/store"
)

// A visitor is known by an scs session: a token of 256 random bits of which the
// store keeps only the hash. The session holds one thing, an id made up when it
// begins and never changed, so that two requests at once have nothing to
// overwrite. All else is the store's, by compare-and-set.
//
// scs's own middleware is not used. It would write a cookie whenever it liked;
// here a token is given out by POST /v1/visitor and by nothing else.

const (
	cookieName    = "relay_visitor"
	visitorIDKey  = "visitor"
	identifiedKey = "identified"
	briefKey      = "brief"

	// briefFor is how long a visitor is remembered who has nothing to lose, having
	// no session yet: to introduce oneself costs nothing, and a flood of visitors
	// would fill the store for [Config.VisitorTTL].
	briefFor = time.Hour
)

// tokenPattern is what a token looks like; anything else never gets as far as
// the store.
var tokenPattern = regexp.MustCompile(`^[A-Za-z0-9_-]{43}$`)

// who is a visitor that a request has proved to be.
type who struct {
	id         string
	token      string
	expiresAt  time.Time
	identified bool // the website said who it is
	brief      bool // has no session yet, so that expiresAt is near
}

func newVisitors(c *Config, st store.Store) *scs.SessionManager {
	// Not scs.New: that starts a goroutine, for a store of its own, which nobody
	// could stop. No IdleTimeout: with one, every request would rewrite the session.
	return &scs.SessionManager{Store: st, Codec: visitorCodec{}, HashTokenInStore: true, Lifetime: c.VisitorTTL}
}

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
		if tokenPattern.MatchString(token) {
			return token
		}
		return ""
	}
	if o := s.originOf(r); o != originOurs && o != originNone {
		return ""
	}
	name, _, _ := s.cookie(r)
	cookies := r.CookiesNamed(name)
	if len(cookies) != 1 || !tokenPattern.MatchString(cookies[0].Value) {
		return ""
	}
	return cookies[0].Value
}

// bearer returns the bearer token of a request, and whether there is one.
func bearer(r *http.Request) (token string, ok bool) {
	scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	return strings.TrimSpace(token), strings.EqualFold(scheme, "Bearer")
}

// Visitor returns who is asking, or errVisitorUnknown.
func (s *Server) visitor(r *http.Request) (who, error) {
	token := s.token(r)
	if token == "" {
		return who{}, problem.VisitorUnknown
	}
	v, err := s.holder(r.Context(), token)
	if err == nil {
		telemetry.FromContext(r.Context()).Visitor = redact.ID(v.id)
	}
	return v, err
}

// holder returns whose token it is, or errVisitorUnknown.
func (s *Server) holder(ctx context.Context, token string) (who, error) {
	ctx, err := s.visitors.Load(ctx, token)
	if errors.Is(err, errBadVisitorRow) {
		return who{}, problem.VisitorUnknown
	}
	if err != nil {
		return who{}, err
	}
	id := s.visitors.GetString(ctx, visitorIDKey)
	deadline := s.visitors.Deadline(ctx)
	if id == "" || !deadline.After(time.Now()) {
		return who{}, problem.VisitorUnknown
	}
	return who{id, token, deadline, s.visitors.GetBool(ctx, identifiedKey), s.visitors.GetBool(ctx, briefKey)}, nil
}

// mint makes a new token for a visitor. One whom nobody named has said nothing
// yet.
func (s *Server) mint(ctx context.Context, id string, identified bool) (who, error) {
	ctx, err := s.visitors.Load(context.WithoutCancel(ctx), "")
	if err != nil {
		return who{}, err
	}
	v := who{id: id, identified: identified, brief: !identified && briefFor < s.config.VisitorTTL}
	s.visitors.Put(ctx, visitorIDKey, id)
	s.visitors.Put(ctx, identifiedKey, identified)
	s.visitors.Put(ctx, briefKey, v.brief)
	s.visitors.SetDeadline(ctx, time.Now().Add(s.lifetime(v)))
	v.token, v.expiresAt, err = s.visitors.Commit(ctx)
	return v, err
}

// lifetime is how long a visitor is remembered.
func (s *Server) lifetime(v who) time.Duration {
	if v.brief {
		return briefFor
	}
	return s.config.VisitorTTL
}

// extend gives a visitor who comes back the whole time again, once a tenth of
// it has gone by.
func (s *Server) extend(ctx context.Context, v who) (who, error) {
	until := time.Now().Add(s.lifetime(v))
	if until.Sub(v.expiresAt) < s.lifetime(v)/10 {
		return v, nil
	}
	s.extending.Lock()
	defer s.extending.Unlock()
	ctx, err := s.visitors.Load(context.WithoutCancel(ctx), v.token)
	if err != nil {
		return v, err
	}
	if s.visitors.GetString(ctx, visitorIDKey) == "" {
		return v, problem.VisitorUnknown // forgotten meanwhile
	}
	if !s.visitors.GetBool(ctx, briefKey) {
		v.brief, until = false, time.Now().Add(s.config.VisitorTTL) // since it was read
	}
	s.visitors.Put(ctx, briefKey, v.brief)
	s.visitors.SetDeadline(ctx, until)
	v.token, v.expiresAt, err = s.visitors.Commit(ctx)
	return v, err
}

// keep remembers a visitor for good who has a session now.
func (s *Server) keep(ctx context.Context, v who, sess *session.Session) (who, error) {
	if !v.brief || sess.View().Epoch == 0 {
		return v, nil
	}
	v.brief = false
	return s.extend(ctx, v)
}

// allowances are the limits that the widget tells a visitor of beforehand.
type allowances struct {
	MaxMessage      int      `json:"max_message"`
	MaxAttachment   int      `json:"max_attachment"`
	MaxAttachments  int      `json:"max_attachments"`
	AttachmentTypes []string `json:"attachment_types"`
}

// introduce tells a browser who it is: POST /v1/visitor.
func (s *Server) introduce(w http.ResponseWriter, r *http.Request) error {
	body, err := readBody(w, r, maxSmallBody)
	if err != nil {
		return err
	}
	var identity, carrier string
	if err := decodeObject(body, "", fields{"identity": &identity, "carrier": &carrier}); err != nil {
		return err
	}
	foreign := s.originOf(r) == originAllowed
	switch {
	case carrier == "" && foreign:
		carrier = "bearer"
	case carrier == "":
		carrier = "cookie"
	case carrier == "cookie" && foreign:
		return problem.Origin.With("A cookie is for pages of the relay's own origin.")
	case carrier != "cookie" && carrier != "bearer":
		return problem.BadRequest.With(`"carrier" must be "cookie" or "bearer".`)
	}
	var subject string
	if identity != "" {
		if subject, err = s.verify(w, identity); err != nil {
			return err
		}
	}
	presented, err := s.visitor(r)
	if _, byBearer := bearer(r); err == nil && carrier == "bearer" && !byBearer {
		// Known by its cookie, which no script may read: a bearer token is
		// another visitor's.
		err = problem.VisitorUnknown
	}
	if err != nil && !errors.Is(err, problem.VisitorUnknown) {
		return err
	}
	v, sess, err := s.welcome(r.Context(), presented, err == nil, subject)
	if errors.Is(err, problem.VisitorUnknown) {
		// Forgotten by another tab meanwhile: a new visitor, as if a moment later.
		v, sess, err = s.welcome(r.Context(), who{}, false, subject)
	}
	if err != nil {
		return err
	}
	defer sess.Close()
	if v.brief {
		// Its cookie must outlive the first turn, which moves the deadline.
		v.expiresAt = time.Now().Add(s.config.VisitorTTL)
	}
	s.lookBriefly(r.Context(), sess)
	out := struct {
		Token     *string       `json:"token"`
		ExpiresAt time.Time     `json:"expires_at"`
		Session   session.State `json:"session"`
		Limits    allowances    `json:"limits"`
	}{nil, v.expiresAt.UTC().Truncate(time.Second), sess.State(), allowances{
		s.config.MaxMessage, s.config.MaxAttachment, s.config.MaxAttachments, append([]string{}, s.config.AttachmentTypes...),
	}}
	if carrier == "bearer" {
		out.Token = &v.token
	} else {
		s.setCookie(w, r, v.token, v.expiresAt)
	}
	return writeJSON(w, http.StatusOK, out)
}

// welcome is recognise, and what there is of the visitor's session, which the
// caller closes.
func (s *Server) welcome(ctx context.Context, presented who, known bool, subject string) (who, *session.Session, error) {
	v, err := s.recognise(ctx, presented, known, subject)
	if err != nil {
		return v, nil, err
	}
	sess, err := s.hub.Open(ctx, v.id)
	if err != nil {
		return v, nil, err
	}
	if v, err = s.keep(ctx, v, sess); err == nil {
		err = sess.ExtendTTL(ctx, v.expiresAt)
	}
	if err != nil {
		sess.Close()
		return v, nil, err
	}
	return v, sess, nil
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

// forget makes a visitor's token void and ends its streams: DELETE /v1/visitor.
func (s *Server) forget(w http.ResponseWriter, r *http.Request) error {
	v, err := s.visitor(r)
	if err != nil {
		return err
	}
	if err := s.dismiss(r.Context(), v); err != nil {
		return err
	}
	name, _, _ := s.cookie(r)
	if len(r.CookiesNamed(name)) > 0 {
		s.setCookie(w, r, "", time.Unix(0, 0))
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// dismiss makes a token void and ends the streams that were opened with it. A
// visitor whom nobody else knows is forgotten; one of whom the website said who
// it is stays, for its other devices and the next time.
func (s *Server) dismiss(ctx context.Context, v who) error {
	ctx, err := s.visitors.Load(context.WithoutCancel(ctx), v.token)
	if err != nil {
		return err
	}
	s.extending.Lock()
	err = s.visitors.Destroy(ctx)
	s.extending.Unlock()
	if err != nil {
		return err
	}
	if v.identified {
		s.hub.CloseDevice(v.id, v.token)
		s.hub.Publish(ctx, v.id)
		return nil
	}
	if err := s.hub.Forget(ctx, v.id); err != nil {
		return err
	}
	s.hub.Revoke(v.id)
	s.hub.Publish(ctx, v.id)
	return nil
}
