package anyframe

import (
	"context"
	"encoding/json"
	"iter"
)

// defaultTranscriptLimit is the default page size; the server returns up to 5000.
const defaultTranscriptLimit = 1000

// SessionsService manages sessions; see [Client].Sessions.
type SessionsService struct {
	Previews *PreviewsService

	client *Client
}

// List returns all sessions, the newest first.
func (s *SessionsService) List(ctx context.Context, opts ...CallOption) ([]Session, error) {
	return fetchList[Session](ctx, s.client, get("/api/sessions"), opts)
}

// Create creates a session. The session is still booting when Create returns; see
// [SessionsService.WaitUntilRunning].
func (s *SessionsService) Create(ctx context.Context, p CreateSessionParams, opts ...CallOption) (*Session, error) {
	r := post("/api/sessions").require("agent_id", p.AgentID > 0).json(p)
	if id := p.ResumeFromSnapshotID; id != nil && *id <= 0 {
		r = r.refuse("body", "resume_from_snapshot_id", "must be above 0")
	}
	if idle := p.IdleTimeout; idle != nil && *idle < 0 {
		r = r.refuse("body", "idle_timeout_s", "must not be negative")
	}
	return fetch[Session](ctx, s.client, r, opts)
}

// Get returns the session as it is now.
func (s *SessionsService) Get(ctx context.Context, id string, opts ...CallOption) (*Session, error) {
	return fetch[Session](ctx, s.client, get("/api/sessions/{session_id}", id), opts)
}

// Resume boots a stopped session from its latest snapshot. The error matches
// [ErrConflict] if there is none. To use an earlier snapshot, create a session with
// CreateSessionParams.ResumeFromSnapshotID.
func (s *SessionsService) Resume(
	ctx context.Context, id string, p ResumeSessionParams, opts ...CallOption,
) (*Session, error) {
	return fetch[Session](ctx, s.client, post("/api/sessions/{session_id}/resume", id).json(p), opts)
}

// Terminate takes a snapshot of the session and stops it. The status in the
// response is usually still [StatusSnapshotting].
func (s *SessionsService) Terminate(ctx context.Context, id string, opts ...CallOption) (*Session, error) {
	return fetch[Session](ctx, s.client, post("/api/sessions/{session_id}/terminate", id), opts)
}

// Delete deletes the session with its chat. The error matches [ErrConflict] while
// the sandbox is up; see [SessionsService.Terminate].
func (s *SessionsService) Delete(ctx context.Context, id string, opts ...CallOption) error {
	return s.client.send(ctx, remove("/api/sessions/{session_id}", id), opts)
}

// Snapshots returns the session's snapshots, the newest first.
func (s *SessionsService) Snapshots(ctx context.Context, id string, opts ...CallOption) ([]Snapshot, error) {
	return fetchList[Snapshot](ctx, s.client, get("/api/sessions/{session_id}/snapshots", id), opts)
}

// SaveAsBase makes the state of a setup session the base of the agent's later
// sessions. It can be called again. The error matches [ErrInvalid] for a session
// that was not created with IsSetupSession.
func (s *SessionsService) SaveAsBase(ctx context.Context, id string, opts ...CallOption) (*SaveAsBaseResult, error) {
	return fetch[SaveAsBaseResult](ctx, s.client, post("/api/sessions/{session_id}/save-as-base", id), opts)
}

// Message starts a turn. It is retried only if the server cannot have acted on it.
// On an error, [Error.Sent] reports whether the caller may retry.
func (s *SessionsService) Message(
	ctx context.Context, id string, m Message, opts ...CallOption,
) (*MessageResult, error) {
	result, _, err := s.message(ctx, id, m, opts)
	return result, err
}

// message is Message, and also returns the number of requests.
func (s *SessionsService) message(
	ctx context.Context, id string, m Message, opts []CallOption,
) (result *MessageResult, attempts int, err error) {
	a, err := s.client.ask(ctx, s.chat(id, "message", m), opts)
	if err != nil {
		return nil, 0, err
	}
	return newMessageResult(a.body), a.attempts, nil
}

// MessageRaw is [SessionsService.Message] with any body that encodes to JSON. It
// returns nil if the response is empty.
func (s *SessionsService) MessageRaw(
	ctx context.Context, id string, body any, opts ...CallOption,
) (json.RawMessage, error) {
	return fetchRaw(ctx, s.client, s.chat(id, "message", body), opts)
}

// Respond answers a question or a permission request of the agent with any JSON
// body. It returns nil if the response is empty. Like [SessionsService.Message], it
// is retried only if the server cannot have acted on it.
func (s *SessionsService) Respond(
	ctx context.Context, id string, body any, opts ...CallOption,
) (json.RawMessage, error) {
	return fetchRaw(ctx, s.client, s.chat(id, "respond", body), opts)
}

// chat is a request to the chat in the sandbox, with the caller's body.
func (s *SessionsService) chat(id, what string, body any) request {
	r := post("/api/sessions/{session_id}/"+what, id)
	body, secrets, err := revealed(body)
	if err != nil {
		r = r.refuse("body", "body", err.Error())
	}
	if body == nil {
		body = json.RawMessage("null") // a nil body would send none
	}
	return r.json(body).hide(secrets...)
}

// Transcript returns up to limit events after the one numbered since, in order. A
// since of 0 reads from the start. A limit of 0 means 1000; the server returns at
// most 5000.
func (s *SessionsService) Transcript(
	ctx context.Context, id string, since int64, limit int, opts ...CallOption,
) ([]ChatEvent, error) {
	return fetchList[ChatEvent](ctx, s.client, transcript(id, since, limit), opts)
}

func transcript(id string, since int64, limit int) request {
	if limit <= 0 {
		limit = defaultTranscriptLimit
	}
	return get("/api/sessions/{session_id}/transcript", id).ask("since", since).ask("limit", int64(limit))
}

// TranscriptAll yields every event after the one numbered since, page by page. It
// yields an error last. Each range over it starts again. [CallQuery] may set another
// limit, for the size of a page, but no other since.
func (s *SessionsService) TranscriptAll(
	ctx context.Context, id string, since int64, opts ...CallOption,
) iter.Seq2[ChatEvent, error] {
	return func(yield func(ChatEvent, error) bool) {
		ownLimit := false
		opts := also(opts, func(o *callOptions) {
			ownLimit = o.query.Has("limit")
			if o.query.Has("since") {
				o.refuse("query", "since", "would repeat one page")
			}
		})
		last := since
		for {
			page, rows, err := fetchRows[ChatEvent](ctx, s.client, transcript(id, last, 0), opts)
			if err != nil {
				yield(ChatEvent{}, err)
				return
			}
			before := last
			for _, e := range page {
				if e.Seq <= last { // a server that treats since as inclusive
					continue
				}
				last = e.Seq
				if !yield(e, nil) {
					return
				}
			}
			// A shorter page is the last one. The server may return fewer rows than a limit
			// of the caller's, so that then only a page without a new event is.
			if last == before || rows < defaultTranscriptLimit && !ownLimit {
				return
			}
		}
	}
}
