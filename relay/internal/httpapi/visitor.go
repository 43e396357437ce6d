package httpapi

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/anyframe-relay/relay/relay/internal/problem"
	"github.com/anyframe-relay/relay/relay/internal/session"
	"github.com/anyframe-relay/relay/relay/internal/visitor"
)

// allowances are the limits that the widget tells a visitor of beforehand.
type allowances struct {
	MaxMessage      int      `json:"max_message"`
	MaxAttachment   int      `json:"max_attachment"`
	MaxAttachments  int      `json:"max_attachments"`
	AttachmentTypes []string `json:"attachment_types"`
}

// introduce tells a browser who it is: POST /v1/visitor.
func (a *api) introduce(w http.ResponseWriter, r *http.Request) error {
	body, err := readBody(w, r, maxSmallBody, uncounted{})
	if err != nil {
		return err
	}
	var identity, carrier string
	if err := decodeObject(body, "", fields{"identity": &identity, "carrier": &carrier}); err != nil {
		return err
	}
	foreign := a.originOf(r) == originAllowed
	switch {
	case carrier == "" && foreign:
		carrier = "bearer"
	case carrier == "":
		carrier = "cookie"
	case carrier == "cookie" && foreign:
		return problem.Origin.With("Cookies are accepted only from pages of the relay's own origin.")
	case carrier != "cookie" && carrier != "bearer":
		return problem.BadRequest.With(`"carrier" must be "cookie" or "bearer".`)
	}
	var subject string
	if identity != "" {
		if subject, err = a.verify(w, identity); err != nil {
			return err
		}
	}
	presented, err := a.visitor(r)
	if _, byBearer := bearer(r); err == nil && carrier == "bearer" && !byBearer {
		// Known by its cookie, which no script may read: a bearer token is
		// another visitor's.
		err = problem.VisitorUnknown
	}
	if err != nil && !errors.Is(err, problem.VisitorUnknown) {
		return err
	}
	v, sess, err := a.resolve(r.Context(), presented, err == nil, subject)
	if errors.Is(err, problem.VisitorUnknown) {
		// Forgotten by another tab meanwhile: a new visitor, as if a moment later.
		v, sess, err = a.resolve(r.Context(), visitor.Visitor{}, false, subject)
	}
	if err != nil {
		return err
	}
	defer sess.Close()
	if v.Provisional {
		// Its cookie must outlive the first turn, which moves the deadline.
		v.ExpiresAt = time.Now().Add(a.tokens.TTL())
	}
	a.lookBriefly(r.Context(), sess)
	out := struct {
		Token     *string       `json:"token"`
		ExpiresAt time.Time     `json:"expires_at"`
		Session   session.State `json:"session"`
		Limits    allowances    `json:"limits"`
	}{nil, v.ExpiresAt.UTC().Truncate(time.Second), sess.State(), allowances{
		a.options.MaxMessage, a.options.MaxAttachment, a.options.MaxAttachments, append([]string{}, a.options.AttachmentTypes...),
	}}
	if carrier == "bearer" {
		out.Token = &v.Token
	} else {
		a.setCookie(w, r, v.Token, v.ExpiresAt)
	}
	return WriteJSON(w, http.StatusOK, out)
}

// resolve is authenticate, and what there is of the visitor's session, which the
// caller closes.
func (a *api) resolve(ctx context.Context, presented visitor.Visitor, known bool, subject string) (visitor.Visitor, *session.Session, error) {
	v, err := a.authenticate(ctx, presented, known, subject)
	if err != nil {
		return v, nil, err
	}
	sess, err := a.hub.Open(ctx, v.ID)
	if err != nil {
		return v, nil, err
	}
	if v, err = a.promote(ctx, v, sess); err == nil {
		err = sess.ExtendTTL(ctx, v.ExpiresAt)
	}
	if err != nil {
		sess.Close()
		return v, nil, err
	}
	return v, sess, nil
}

// promote remembers a visitor for the whole TTL who has a session now.
func (a *api) promote(ctx context.Context, v visitor.Visitor, sess *session.Session) (visitor.Visitor, error) {
	if sess.View().Epoch == 0 {
		return v, nil
	}
	return a.tokens.Promote(ctx, v)
}

// forget makes a visitor's token void and ends its streams: DELETE /v1/visitor.
func (a *api) forget(w http.ResponseWriter, r *http.Request) error {
	v := visitorOf(r)
	if err := a.logout(r.Context(), v); err != nil {
		return err
	}
	name, _, _ := a.cookie(r)
	if len(r.CookiesNamed(name)) > 0 {
		a.setCookie(w, r, "", time.Unix(0, 0))
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// logout makes a token void and ends the streams that were opened with it. A
// visitor whom nobody else knows is forgotten; one of whom the website said who
// it is stays, for its other devices and the next time.
func (a *api) logout(ctx context.Context, v visitor.Visitor) error {
	ctx = context.WithoutCancel(ctx)
	if err := a.tokens.Revoke(ctx, v.Token); err != nil {
		return err
	}
	if v.Identified {
		a.hub.CloseDevice(v.ID, v.Token)
		a.hub.Publish(ctx, v.ID)
		return nil
	}
	if err := a.hub.Forget(ctx, v.ID); err != nil {
		return err
	}
	a.hub.Revoke(v.ID)
	a.hub.Publish(ctx, v.ID)
	return nil
}

// verify returns whom the website says the visitor is, or the refusal. Why a
// token was refused is the operator's to know; nothing of it is logged.
func (a *api) verify(w http.ResponseWriter, token string) (subject string, err error) {
	if a.identities == nil {
		return "", problem.Identity.With("Sign-in is not enabled for this chat.")
	}
	subject, reason := a.identities.Subject(token)
	switch reason {
	case "":
		return subject, nil
	case visitor.ReasonExpired:
		err = problem.Identity.With("Your sign-in has expired. Sign in again.")
	default:
		err = problem.Identity
	}
	a.log.Info("identity refused", "request", w.Header().Get(requestIDHeader), "reason", reason)
	return "", err
}

// authenticate returns whom a request is to be taken for: presented is the visitor
// whose token it carries, if it is known, and subject whom the website says it
// is, if it says so. A token goes with one visitor for good: whoever turns out
// to be another gets another token, and the old one is void.
func (a *api) authenticate(ctx context.Context, presented visitor.Visitor, known bool, subject string) (visitor.Visitor, error) {
	id := presented.ID
	if subject != "" {
		var err error
		if id, err = a.tokens.Identified(ctx, subject); err != nil {
			return visitor.Visitor{}, err
		}
	}
	switch {
	case known && id == presented.ID && presented.Identified && subject == "":
		return presented, nil // the website must say it again before there is more time
	case known && id == presented.ID:
		v, err := a.tokens.Extend(ctx, presented)
		if !errors.Is(err, problem.VisitorUnknown) {
			return v, err
		}
	}
	if a.hub.Draining() {
		return visitor.Visitor{}, problem.Draining
	}
	if subject == "" {
		id = visitor.NewID()
	}
	v, err := a.tokens.Mint(ctx, id, subject != "")
	if err == nil && known && id != presented.ID {
		err = a.logout(ctx, presented)
	}
	return v, err
}
