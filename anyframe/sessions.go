package anyframe

import (
	"context"
	"encoding/json"
	"iter"
)

// defaultTranscriptLimit is the page asked for; the server gives up to 5000.
const defaultTranscriptLimit = 1000

// SessionsService is everything about sessions; see [Client].Sessions.
type SessionsService struct {
	Previews *PreviewsService

	client *Client
}

// List returns all sessions, the newest first.
func (s *SessionsService) List(ctx context.Context, opts ...CallOption) ([]Session, error) {
	return fetchList[Session](ctx, s.client, get("/api/sessions"), opts)
}

// Create makes a session. It is booting when Create returns; see
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

// Resume boots a stopped session from its latest snapshot. It matches
// [ErrConflict] when there is none. Another snapshot is gone back to with
// CreateSessionParams.ResumeFromSnapshotID.
func (s *SessionsService) Resume(
	ctx context.Context, id string, p ResumeSessionParams, opts ...CallOption,
) (*Session, error) {
	return fetch[Session](ctx, s.client, post("/api/sessions/{session_id}/resume", id).json(p), opts)
}

// Terminate snapshots the session and stops it. The answer's status is usually
// still [StatusSnapshotting].
func (s *SessionsService) Terminate(ctx context.Context, id string, opts ...CallOption) (*Session, error) {
	return fetch[Session](ctx, s.client, post("/api/sessions/{session_id}/terminate", id), opts)
}

// Delete removes the session with its chat. It matches [ErrConflict] while the
// sandbox is up; see [SessionsService.Terminate].
func (s *SessionsService) Delete(ctx context.Context, id string, opts ...CallOption) error {
	return s.client.send(ctx, remove("/api/sessions/{session_id}", id), opts)
}

// Snapshots returns the session's snapshots, the newest first.
func (s *SessionsService) Snapshots(ctx context.Context, id string, opts ...CallOption) ([]Snapshot, error) {
	return fetchList[Snapshot](ctx, s.client, get("/api/sessions/{session_id}/snapshots", id), opts)
}

// SaveAsBase makes the state of a setup session what the agent's further
// sessions start from. It can be done again. It matches [ErrInvalid] for a
// session that was not created with IsSetupSession.
func (s *SessionsService) SaveAsBase(ctx context.Context, id string, opts ...CallOption) (*SaveAsBaseResult, error) {
	return fetch[SaveAsBaseResult](ctx, s.client, post("/api/sessions/{session_id}/save-as-base", id), opts)
}

// Message begins a turn. It is made again by itself only when the server
// cannot have acted on it; on an error, [Error.Sent] says whether the caller
// may do so too.
func (s *SessionsService) Message(
	ctx context.Context, id string, m Message, opts ...CallOption,
) (*MessageResult, error) {
	result, _, err := s.message(ctx, id, m, opts)
	return result, err
}

// message is Message, and how many requests it took.
func (s *SessionsService) message(
	ctx context.Context, id string, m Message, opts []CallOption,
) (result *MessageResult, attempts int, err error) {
	a, err := s.client.ask(ctx, s.chat(id, "message", m), opts)
	if err != nil {
		return nil, 0, err
	}
	return newMessageResult(a.body), a.attempts, nil
}

// MessageRaw is [SessionsService.Message] with a body of the caller's own,
// anything that encodes to JSON. The answer is nil when it was empty.
func (s *SessionsService) MessageRaw(
	ctx context.Context, id string, body any, opts ...CallOption,
) (json.RawMessage, error) {
	return fetchRaw(ctx, s.client, s.chat(id, "message", body), opts)
}

// Respond answers a question or a permission request of the agent with any
// JSON body. The answer is nil when it was empty. As with
// [SessionsService.Message], it is never made twice by itself.
func (s *SessionsService) Respond(
	ctx context.Context, id string, body any, opts ...CallOption,
) (json.RawMessage, error) {
	return fetchRaw(ctx, s.client, s.chat(id, "respond", body), opts)
}

// chat is a request to the chat in the sandbox, with a body of the caller's.
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

// Transcript returns up to limit events after the one numbered since, in order.
// since 0 is from the start; limit 0 means 1000, and the server gives at most
// 5000.
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

// TranscriptAll yields every event after the one numbered since, page by page.
// An error is yielded last. Every range over it starts again.
func (s *SessionsService) TranscriptAll(
	ctx context.Context, id string, since int64, opts ...CallOption,
) iter.Seq2[ChatEvent, error] {
	return func(yield func(ChatEvent, error) bool) {
		last := since
		for {
			page, rows, err := fetchRows[ChatEvent](ctx, s.client, transcript(id, last, 0), opts)
			if err != nil {
				yield(ChatEvent{}, err)
				return
			}
			before := last
			for _, e := range page {
				if e.Seq <= last { // a server that reads since as inclusive
					continue
				}
				last = e.Seq
				if !yield(e, nil) {
					return
				}
			}
			if rows < defaultTranscriptLimit || last == before {
				return
			}
		}
	}
}
