package httpapi

import (
	"context"
	"errors"
	"net/http"
	"strconv"

	"github.com/go-chi/chi/v5"

	"github.com/anyframe-relay/relay/relay/internal/erasure"
	"github.com/anyframe-relay/relay/relay/internal/event"
	"github.com/anyframe-relay/relay/relay/internal/history"
	"github.com/anyframe-relay/relay/relay/internal/past"
	"github.com/anyframe-relay/relay/relay/internal/problem"
	"github.com/anyframe-relay/relay/relay/internal/session"
	"github.com/anyframe-relay/relay/relay/internal/store"
)

// listConversations lists the visitor's conversations, newest first: GET
// /v1/conversations.
func (a *api) listConversations(w http.ResponseWriter, r *http.Request) error {
	sess, err := a.open(r)
	if err != nil {
		return err
	}
	defer sess.Close()
	all, err := a.conversations(r.Context(), sess)
	if err != nil {
		return err
	}
	type listed struct {
		past.Summary
		Current bool `json:"current"`
	}
	out := struct {
		Conversations []listed `json:"conversations"`
	}{[]listed{}}
	v := sess.View()
	for i := range all {
		out.Conversations = append(out.Conversations, listed{
			past.SummaryOf(&all[i]), all[i].Epoch == v.Epoch && v.Status != event.StatusEnded,
		})
	}
	return WriteJSON(w, http.StatusOK, out)
}

// conversations returns [history.Book.List] of a visitor. It includes the current
// conversation even if an earlier build of the relay began it.
func (a *api) conversations(ctx context.Context, sess *session.Session) ([]history.Conversation, error) {
	if err := a.keep(ctx, sess); err != nil {
		return nil, err
	}
	return a.book.List(ctx, sess.Visitor())
}

// keep records the current conversation, if an earlier build has not.
func (a *api) keep(ctx context.Context, sess *session.Session) error {
	c := sess.Conversation()
	return a.book.Keep(ctx, sess.Visitor(), store.Session{Epoch: c.Epoch(), UpstreamID: c.ID()})
}

// eraseConversation erases one of the visitor's conversations: DELETE
// /v1/conversations/{epoch}. The current conversation is ended first.
func (a *api) eraseConversation(w http.ResponseWriter, r *http.Request) error {
	epoch, err := strconv.ParseInt(chi.URLParam(r, "epoch"), 10, 64)
	if err != nil || epoch < 1 {
		return errNoConversation
	}
	sess, err := a.open(r)
	if err != nil {
		return err
	}
	defer sess.Close()
	ctx := context.WithoutCancel(r.Context())
	if err := a.keep(ctx, sess); err != nil {
		return err
	}
	c, err := a.book.Get(ctx, sess.Visitor(), epoch)
	if err == nil { // also if it is being erased: a browser repeats a request whose connection broke
		c.Erasing, err = a.erasures.Conversation(ctx, c.ID, erasure.ByVisitor)
	}
	if errors.Is(err, store.ErrNotFound) {
		err = errNoConversation
	}
	if err != nil {
		return err
	}
	return WriteJSON(w, http.StatusAccepted, erasing{c.Erasing})
}

var errNoConversation = problem.NotFound.With("This conversation does not exist.")
