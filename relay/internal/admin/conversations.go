package admin

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/go-chi/chi/v5"

	"github.com/anyframe-relay/relay/relay/internal/control"
	"github.com/anyframe-relay/relay/relay/internal/event"
	"github.com/anyframe-relay/relay/relay/internal/journal"
	"github.com/anyframe-relay/relay/relay/internal/problem"
	"github.com/anyframe-relay/relay/relay/internal/session"
	"github.com/anyframe-relay/relay/relay/internal/store"
	"github.com/anyframe-relay/relay/relay/internal/upstream"
)

const (
	maxPrompts = 8 // of a conversation that are shown
	lookWait   = 3 * time.Second
	maxInput   = 256 << 10 // maximum size in bytes of a tool's input that is shown
)

// conversation is a row of GET /api/conversations.
type conversation struct {
	ID        string       `json:"id"`
	Site      string       `json:"site"`
	Visitor   string       `json:"visitor"`
	Status    event.Status `json:"status"`
	Epoch     int64        `json:"epoch"`
	AgentBusy bool         `json:"agent_busy"`
	Turn      *string      `json:"turn"`
	Prompts   []prompt     `json:"prompts"`
	Streams   int          `json:"streams"` // in this process
	Started   time.Time    `json:"started_at"`
	Active    time.Time    `json:"last_active_at"`
}

// prompt is a waiting prompt. Of a question only the kind is shown, because its text is
// part of the conversation.
type prompt struct {
	ID        string          `json:"id"`
	Kind      string          `json:"kind"`
	Tool      string          `json:"tool,omitempty"`
	Input     json.RawMessage `json:"input,omitempty"`
	Truncated bool            `json:"truncated,omitempty"` // the input is too large to be shown
}

// rowOf returns the row of a conversation.
func rowOf(ctx context.Context, c listed) (conversation, error) {
	out := conversation{
		ID: c.ID, Site: c.site.Name, Visitor: control.VisitorHash(c.Visitor), Status: event.StatusEnded, Epoch: c.Epoch,
		Prompts: []prompt{}, Started: c.StartedAt, Active: c.ActiveAt,
	}
	rec, err := c.site.Sessions.Session(ctx, c.Visitor)
	if err != nil {
		return out, err
	}
	if rec.Epoch != c.Epoch || rec.UpstreamID == "" { // ended, or forgotten
		return out, nil
	}
	switch s := event.Status(rec.State); s {
	case event.StatusBooting, event.StatusRunning, event.StatusSleeping, event.StatusFailed:
		out.Status = s
	case event.StatusNone, event.StatusEnded: // ended, as the row says
	}
	out.AgentBusy = c.Busy && out.Status == event.StatusRunning
	if out.AgentBusy && c.Turn != "" {
		out.Turn = &c.Turn
	}
	out.Streams = c.site.Hub.Listeners(c.Visitor)
	if out.Status == event.StatusEnded {
		return out, nil
	}
	waiting, err := c.site.Prompts.Of(ctx, c.ID, maxPrompts)
	for _, p := range waiting {
		out.Prompts = append(out.Prompts, promptOf(ctx, c, p))
	}
	return out, err
}

// promptOf returns a prompt with the input of its tool, which is read from AnyFrame. If
// that fails, it is returned without.
func promptOf(ctx context.Context, c listed, p journal.Prompt) prompt {
	out := prompt{ID: p.ID, Kind: "question"}
	if !p.Permission {
		return out
	}
	out.Kind = "permission"
	ctx, cancel := context.WithTimeout(upstream.For(ctx, upstream.NewCaller(c.Visitor)), lookWait)
	defer cancel()
	rows, err := c.site.Client.Sessions.Transcript(ctx, c.Upstream, p.Seq-1, 1)
	if err != nil || len(rows) == 0 || rows[0].Seq != p.Seq {
		return out
	}
	ev := upstream.Decode(rows[0].Event())
	out.Tool, out.Input = ev.Members.Str("tool_name"), ev.Members.Raw("tool_input", "input")
	if len(out.Input) > maxInput || !json.Valid(out.Input) {
		out.Input, out.Truncated = nil, len(out.Input) > 0
	}
	return out
}

// at calls do with each site until one of them has what the request is about. For the
// other sites do returns [store.ErrNotFound]; if that is the case for all of them, so
// does at.
func (a *Admin) at(ctx context.Context, do func(*Site) error) error {
	sites, err := a.Sites(ctx)
	if err != nil {
		return err
	}
	for i := range sites {
		if err := do(&sites[i]); !errors.Is(err, store.ErrNotFound) {
			return err
		}
	}
	return store.ErrNotFound
}

// find returns the conversation in a route, and its site.
func (a *Admin) find(r *http.Request) (c listed, err error) {
	err = a.at(r.Context(), func(s *Site) (err error) {
		c.site = s
		c.Conversation, err = s.Book.Find(r.Context(), chi.URLParam(r, "id"))
		return err
	})
	if errors.Is(err, store.ErrNotFound) || err == nil && c.Erasing != "" {
		err = problem.NotFound.With("There is no such conversation.")
	}
	return c, err
}

// open is find with the visitor's session, which the caller must close.
func (a *Admin) open(r *http.Request) (c listed, sess *session.Session, err error) {
	if c, err = a.find(r); err != nil {
		return c, nil, err
	}
	sess, err = c.site.Hub.Open(r.Context(), c.Visitor)
	if errors.Is(err, problem.VisitorUnknown) {
		err = problem.NotFound.With("The visitor of this conversation no longer exists.")
	}
	return c, sess, err
}

// stop stops the agent's work in a conversation, if there is any: POST
// /api/conversations/{id}/stop.
func (a *Admin) stop(w http.ResponseWriter, r *http.Request) error {
	c, err := a.find(r)
	if err != nil {
		return err
	}
	if err := c.site.Hub.StopAll(r.Context(), c.Visitor, c.Epoch); err != nil {
		return err
	}
	a.audit(r, "stop", "conversation", c.ID)
	return accepted(w, struct{}{})
}

// end ends a conversation: POST /api/conversations/{id}/end.
func (a *Admin) end(w http.ResponseWriter, r *http.Request) error {
	c, sess, err := a.open(r)
	if err != nil {
		return err
	}
	defer sess.Close()
	if _, err := sess.EndEpoch(r.Context(), c.Epoch, false); err != nil {
		return err
	}
	a.audit(r, "end", "conversation", c.ID)
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// decide answers a waiting prompt: POST /api/conversations/{id}/prompts/{prompt}.
func (a *Admin) decide(w http.ResponseWriter, r *http.Request) error {
	var body struct {
		Answer   *string `json:"answer"`
		Decision *string `json:"decision"`
	}
	if err := decode(w, r, &body); err != nil {
		return err
	}
	var text, decision string
	switch {
	case body.Answer != nil && body.Decision == nil && strings.TrimSpace(*body.Answer) != "":
		text = *body.Answer
	case body.Decision != nil && body.Answer == nil && (*body.Decision == "approve" || *body.Decision == "deny"):
		decision = *body.Decision
	default:
		return problem.BadRequest.With(`The body must have "decision" with "approve" or "deny" for a permission, or "answer" with a text for a question.`)
	}
	c, sess, err := a.open(r)
	if err != nil {
		return err
	}
	defer sess.Close()
	if sess.View().Epoch != c.Epoch {
		return problem.PromptUnknown
	}
	if err := sess.Decide(r.Context(), chi.URLParam(r, "prompt"), text, decision); err != nil {
		return err
	}
	a.audit(r, "answer", "conversation", c.ID, "prompt", chi.URLParam(r, "prompt"), "decision", cmp.Or(decision, "text"))
	return accepted(w, struct{}{})
}
