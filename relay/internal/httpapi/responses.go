package httpapi

import (
	"context"
	"net/http"
	"strings"

	"github.com/anyframe-relay/relay/relay/internal/body"
	"github.com/anyframe-relay/relay/relay/internal/clientip"
	"github.com/anyframe-relay/relay/relay/internal/limits"
	"github.com/anyframe-relay/relay/relay/internal/problem"
	"github.com/anyframe-relay/relay/relay/internal/strictjson"
)

// answerPrompt answers a question or decides a permission prompt, once:
// POST /v1/responses.
func (a *api) answerPrompt(w http.ResponseWriter, r *http.Request) error {
	v := visitorOf(r)
	if a.hub.Draining() {
		return problem.Draining
	}
	room := a.limits.Body(limits.Who{Visitor: v.ID, Addr: clientip.Of(r)})
	defer room.Release()
	data, err := body.Read(w, r, maxSmallBody+6*int64(a.options.MaxMessage), room)
	if err != nil {
		return err
	}
	var id, text, decision string
	if err := strictjson.Decode(data, "", strictjson.Fields{"id": &id, "answer": &text, "decision": &decision}); err != nil {
		return err
	}
	switch {
	case decision != "" && decision != "approve" && decision != "deny":
		return problem.BadRequest.With(`"decision" must be "approve" or "deny".`)
	case decision != "" && !a.options.VisitorApprovals:
		return problem.ApprovalsOff
	case id == "":
		return problem.BadRequest.With(`"id" is missing.`)
	case (decision == "") == (strings.TrimSpace(text) == ""):
		return problem.BadRequest.With(`Send either "answer" or "decision".`)
	case strings.ContainsRune(text, 0):
		return problem.BadRequest.With(`"answer" contains a NUL character.`)
	case len(text) > a.options.MaxMessage:
		return problem.TooLarge.With("The answer is longer than %d bytes.", a.options.MaxMessage)
	}
	if _, err := a.limits.Message(r.Context(), v.ID); err != nil {
		return err
	}
	sess, err := a.hub.Open(r.Context(), v.ID)
	if err != nil {
		return err
	}
	defer sess.Close()
	if err := sess.Answer(context.WithoutCancel(r.Context()), id, text, decision); err != nil {
		return err
	}
	return WriteJSON(w, http.StatusAccepted, struct{}{})
}
