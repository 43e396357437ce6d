package httpapi

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/anyframe-relay/relay/relay/internal/body"
	"github.com/anyframe-relay/relay/relay/internal/caller"
	"github.com/anyframe-relay/relay/relay/internal/challenge"
	"github.com/anyframe-relay/relay/relay/internal/erasure"
	"github.com/anyframe-relay/relay/relay/internal/problem"
	"github.com/anyframe-relay/relay/relay/internal/redact"
	"github.com/anyframe-relay/relay/relay/internal/session"
	"github.com/anyframe-relay/relay/relay/internal/strictjson"
	"github.com/anyframe-relay/relay/relay/internal/telemetry"
	"github.com/anyframe-relay/relay/relay/internal/visitor"
	"github.com/anyframe-relay/relay/relay/internal/visitorctx"
)

// allowances are the limits that the widget shows a visitor in advance.
type allowances struct {
	MaxMessage      int      `json:"max_message"`
	MaxAttachment   int      `json:"max_attachment"`
	MaxAttachments  int      `json:"max_attachments"`
	AttachmentTypes []string `json:"attachment_types"`
	MaxContext      int      `json:"max_context"` // 0: none is accepted
}

// introduce gives a browser its visitor token: POST /v1/visitor.
func (a *api) introduce(w http.ResponseWriter, r *http.Request) error {
	data, err := body.Read(w, r, maxSmallBody, body.Uncounted{})
	if err != nil {
		return err
	}
	var identity, carrier string
	var agreed *string
	if err := strictjson.Decode(data, "", strictjson.Fields{"identity": &identity, "carrier": &carrier, "consent": &agreed}); err != nil {
		return err
	}
	if _, version := a.consent.Text(); agreed != nil && (*agreed != version || version == "") {
		return problem.BadRequest.With(`"consent" is not the current version.`)
	}
	foreign := a.caller.Whence(r) == caller.Allowed
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
	var verified visitorctx.Object
	if identity != "" {
		if subject, verified, err = a.verify(w, identity); err != nil {
			return err
		}
	}
	presented, err := a.visitor(r)
	if _, byBearer := caller.Bearer(r); err == nil && carrier == "bearer" && !byBearer {
		// The browser uses its cookie, which no script may read: a bearer token belongs
		// to another visitor.
		err = problem.VisitorUnknown
	}
	if err != nil && !errors.Is(err, problem.VisitorUnknown) {
		return err
	}
	if err == nil {
		if err := a.control.State().BlockedVisitor(presented.ID); err != nil {
			return err
		}
	}
	v, sess, err := a.resolve(r.Context(), presented, err == nil, subject)
	if errors.Is(err, problem.VisitorUnknown) {
		// Another tab has forgotten the visitor in the meantime, or the visitor was
		// erased with everything that the website's identity led to. Create a new
		// visitor, as for a later request.
		if subject != "" {
			if err := a.tokens.Reassign(r.Context(), subject, v.ID); err != nil {
				return err
			}
		}
		v, sess, err = a.resolve(r.Context(), visitor.Visitor{}, false, subject)
	}
	if err != nil {
		return err
	}
	defer sess.Close()
	if subject != "" && a.options.Context {
		if err := a.contexts.Verify(r.Context(), v.ID, v.Token, verified); err != nil {
			return err
		}
	}
	asked, err := a.askConsent(r.Context(), v, agreed != nil)
	if err != nil {
		return err
	}
	if v.Provisional {
		// Its cookie must outlive the first turn, which extends the deadline.
		v.ExpiresAt = time.Now().Add(a.tokens.TTL())
	}
	a.lookBriefly(r.Context(), sess)
	ahead, err := a.askAhead(r, v.ID, sess)
	if err != nil {
		return err
	}
	out := struct {
		Token     *string              `json:"token"`
		ExpiresAt time.Time            `json:"expires_at"`
		Session   session.State        `json:"session"`
		Limits    allowances           `json:"limits"`
		Notice    *notice              `json:"notice"`
		Consent   *agreement           `json:"consent"`
		Feedback  bool                 `json:"feedback"`
		Challenge *challenge.Challenge `json:"challenge,omitempty"`
	}{nil, v.ExpiresAt.UTC().Truncate(time.Second), sess.State(), allowances{
		a.options.MaxMessage, a.options.MaxAttachment, a.options.MaxAttachments, append([]string{}, a.options.AttachmentTypes...), a.options.MaxContext,
	}, a.notice(), asked, a.options.Feedback, ahead}
	if carrier == "bearer" {
		out.Token = &v.Token
	} else {
		a.caller.SetCookie(w, r, v.Token, v.ExpiresAt)
	}
	return WriteJSON(w, http.StatusOK, out)
}

// resolve authenticates, and also opens the visitor's session, which the caller must
// close.
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
		var extended bool
		if extended, err = sess.ExtendTTL(ctx, v.ExpiresAt); extended && err == nil {
			err = a.book.Extend(ctx, v.ID)
		}
	}
	if err != nil {
		sess.Close()
		return v, nil, err
	}
	return v, sess, nil
}

// promote extends a visitor who now has a session to the full TTL, with the consent, even
// if the client has disconnected: a first message takes as long as its sandbox boots.
func (a *api) promote(ctx context.Context, v visitor.Visitor, sess *session.Session) (visitor.Visitor, error) {
	ctx = context.WithoutCancel(ctx)
	if sess.View().Epoch == 0 || !v.Provisional {
		return v, nil
	}
	if err := a.consent.Keep(ctx, v.ID); err != nil { // first, because it is not repeated once v is promoted
		return v, err
	}
	return a.tokens.Promote(ctx, v)
}

// forget revokes a visitor's token and ends its streams: DELETE /v1/visitor. With
// erase=true, all data of the visitor is erased.
func (a *api) forget(w http.ResponseWriter, r *http.Request) error {
	v := visitorOf(r)
	var id string
	erase := r.URL.Query()["erase"]
	switch {
	case len(erase) == 0, len(erase) == 1 && erase[0] == "false":
		if err := a.logout(r.Context(), v); err != nil {
			return err
		}
	case len(erase) == 1 && erase[0] == "true":
		var err error
		ctx := context.WithoutCancel(r.Context())
		if id, err = a.erasures.Visitor(ctx, v.ID, v.Provisional, erasure.ByVisitor); err != nil {
			return err
		}
		if v.Provisional { // each introduction would extend it, at last beyond the tombstone
			if err := a.tokens.Revoke(ctx, v.Token); err != nil {
				return err
			}
		}
	default:
		return problem.BadRequest.With(`"erase" must be true or false.`)
	}
	name, _, _ := a.caller.Cookie(r)
	if len(r.CookiesNamed(name)) > 0 {
		a.caller.SetCookie(w, r, "", time.Unix(0, 0))
	}
	if id != "" {
		return WriteJSON(w, http.StatusAccepted, erasing{id})
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// erasing is the answer to a request for an erasure.
type erasing struct {
	Erasure string `json:"erasure"`
}

// logout revokes a token and ends the streams that were opened with it. An anonymous
// visitor is forgotten, because no other token leads to it. An identified visitor is
// kept, for its other devices and the next sign-in.
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

// verify returns the subject and the context in the website's token, or the refusal. Only
// the operator's log contains why a token was refused. Nothing of the token is logged
// except for the name of an invalid member.
func (a *api) verify(w http.ResponseWriter, token string) (subject string, verified visitorctx.Object, err error) {
	if a.identities == nil {
		return "", "", problem.Identity.With("Sign-in is not enabled for this chat.")
	}
	id, reason := a.identities.Identity(token)
	if reason == "" && id.Context != nil && a.options.MaxContext > 0 {
		if verified, err = visitorctx.Parse(id.Context, a.options.MaxContext); err != nil {
			reason = err.Error()
		}
	}
	switch reason {
	case "":
		return id.Subject, verified, nil
	case visitor.ReasonExpired:
		err = problem.Identity.With("Your sign-in has expired. Sign in again.")
	default:
		err = problem.Identity
	}
	a.log.Info("identity token rejected", "request", w.Header().Get(requestIDHeader), "reason", reason)
	return "", "", err
}

// authenticate returns the visitor of a request: presented is the visitor whose token the
// request carries, if known, and subject is the website's identity of the visitor, if
// any. A token belongs to one visitor permanently. If the subject is another visitor,
// that visitor gets a new token, and the old one is revoked.
func (a *api) authenticate(ctx context.Context, presented visitor.Visitor, known bool, subject string) (visitor.Visitor, error) {
	id := presented.ID
	if subject != "" {
		var err error
		if id, err = a.tokens.Identified(ctx, subject); err == nil {
			err = a.control.State().BlockedVisitor(id)
		}
		if err != nil {
			return visitor.Visitor{}, err
		}
	}
	switch {
	case known && id == presented.ID && presented.Identified && subject == "":
		return presented, nil // without the website's identity, the deadline is not extended
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

// visitor returns the visitor of a request, or [problem.VisitorUnknown].
func (a *api) visitor(r *http.Request) (visitor.Visitor, error) {
	for _, token := range a.caller.Tokens(r) {
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
