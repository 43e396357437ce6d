package anyframe

import (
	"context"
	"encoding/json"
	"iter"
	"net/http"
	"net/url"
	"strconv"
	"strings"
)

// defaultTranscriptLimit is the page asked for; the server gives up to 5000.
const defaultTranscriptLimit = 1000

// SessionsService is everything about sessions; see [Client].Sessions.
type SessionsService struct{ client *Client }

// Create makes a session. It is booting when Create returns; see
// [SessionsService.WaitUntilRunning].
func (s *SessionsService) Create(ctx context.Context, p CreateSessionParams, opts ...CallOption) (*Session, error) {
	return fetch[Session](ctx, s.client, request{method: http.MethodPost, path: "/api/sessions", body: p}, opts)
}

// Get returns the session as it is now.
func (s *SessionsService) Get(ctx context.Context, id string, opts ...CallOption) (*Session, error) {
	r, err := sessionRequest(http.MethodGet, id, "")
	if err != nil {
		return nil, err
	}
	return fetch[Session](ctx, s.client, r, opts)
}

// Resume boots a stopped session from its latest snapshot. It matches
// [ErrConflict] when there is none.
func (s *SessionsService) Resume(
	ctx context.Context, id string, p ResumeSessionParams, opts ...CallOption,
) (*Session, error) {
	r, err := sessionRequest(http.MethodPost, id, "/resume")
	if err != nil {
		return nil, err
	}
	r.body = p
	return fetch[Session](ctx, s.client, r, opts)
}

// Terminate snapshots the session and stops it. The answer's status is usually
// still [StatusSnapshotting].
func (s *SessionsService) Terminate(ctx context.Context, id string, opts ...CallOption) (*Session, error) {
	r, err := sessionRequest(http.MethodPost, id, "/terminate")
	if err != nil {
		return nil, err
	}
	return fetch[Session](ctx, s.client, r, opts)
}

// Message begins a turn. It is made again by itself only when the server
// cannot have acted on it; on an error, [Error.Sent] says whether the caller
// may do so too.
func (s *SessionsService) Message(
	ctx context.Context, id string, m Message, opts ...CallOption,
) (*MessageResult, error) {
	raw, err := s.MessageRaw(ctx, id, m, opts...)
	if err != nil {
		return nil, err
	}
	return newMessageResult(raw), nil
}

// MessageRaw is [SessionsService.Message] with a body of the caller's own,
// anything that encodes to JSON. The answer is nil when it was empty.
func (s *SessionsService) MessageRaw(
	ctx context.Context, id string, body any, opts ...CallOption,
) (json.RawMessage, error) {
	return s.post(ctx, id, "/message", body, opts)
}

// Respond answers a question or a permission request of the agent with any
// JSON body. The answer is nil when it was empty. As with
// [SessionsService.Message], it is never made twice by itself.
func (s *SessionsService) Respond(
	ctx context.Context, id string, body any, opts ...CallOption,
) (json.RawMessage, error) {
	return s.post(ctx, id, "/respond", body, opts)
}

func (s *SessionsService) post(
	ctx context.Context, id, verb string, body any, opts []CallOption,
) (json.RawMessage, error) {
	r, err := sessionRequest(http.MethodPost, id, verb)
	if err != nil {
		return nil, err
	}
	if body == nil {
		body = json.RawMessage("null") // a nil body would send none
	}
	r.body = body
	return fetchRaw(ctx, s.client, r, opts)
}

// Transcript returns up to limit events after the one numbered since, in order.
// since 0 is from the start; limit 0 means 1000, and the server gives at most
// 5000.
func (s *SessionsService) Transcript(
	ctx context.Context, id string, since int64, limit int, opts ...CallOption,
) ([]ChatEvent, error) {
	r, err := sessionRequest(http.MethodGet, id, "/transcript")
	if err != nil {
		return nil, err
	}
	if limit <= 0 {
		limit = defaultTranscriptLimit
	}
	r.query = url.Values{"since": {strconv.FormatInt(since, 10)}, "limit": {strconv.Itoa(limit)}}
	events, err := fetch[[]ChatEvent](ctx, s.client, r, opts)
	if err != nil {
		return nil, err
	}
	return *events, nil
}

// TranscriptAll yields every event after the one numbered since, page by page.
// An error is yielded last. Every range over it starts again.
func (s *SessionsService) TranscriptAll(
	ctx context.Context, id string, since int64, opts ...CallOption,
) iter.Seq2[ChatEvent, error] {
	return func(yield func(ChatEvent, error) bool) {
		last := since
		for {
			page, err := s.Transcript(ctx, id, last, defaultTranscriptLimit, opts...)
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
			if len(page) < defaultTranscriptLimit || last == before {
				return
			}
		}
	}
}

// sessionRequest addresses a session, or refuses an empty id, which would
// address the list of them.
func sessionRequest(method, id, verb string) (request, error) {
	if strings.TrimSpace(id) == "" {
		return request{}, argumentError(method, "/api/sessions/{id}"+verb, "session id is empty", nil)
	}
	return request{method: method, path: "/api/sessions/" + escapeSegment(id) + verb}, nil
}

// escapeSegment makes any string one path segment. Dots are escaped too, or an
// id of ".." would climb; and not by JoinPath, which would climb for it.
func escapeSegment(s string) string {
	return strings.ReplaceAll(url.PathEscape(s), ".", "%2E")
}
