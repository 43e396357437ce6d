package anyframe

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// Sentinels to match with [errors.Is]. Those named after an HTTP status
// match any [*Error] of that status.
var (
	// ErrNoAPIKey is returned by [New] when no source has a key.
	ErrNoAPIKey = errors.New("no API key: set ANYFRAME_API_KEY or pass WithAPIKey")

	// ErrInvalid matches 400 and 422, and arguments refused before any request.
	ErrInvalid      = errors.New("invalid request")
	ErrUnauthorized = errors.New("unauthorized")      // 401
	ErrForbidden    = errors.New("forbidden")         // 403
	ErrNotFound     = errors.New("not found")         // 404
	ErrConflict     = errors.New("conflict")          // 409
	ErrRateLimited  = errors.New("too many requests") // 429
	ErrServer       = errors.New("server error")      // 500 and above

	// ErrTransport matches a request that got no whole answer: no connection,
	// a reset, a timeout of ours. It does not match when the caller's own
	// context ended; that is [context.Canceled] or [context.DeadlineExceeded].
	ErrTransport = errors.New("transport failure")

	// ErrInvalidResponse matches a 2xx answer that is not the JSON expected.
	ErrInvalidResponse = errors.New("invalid response")
	// ErrResponseTooLarge matches a 2xx answer over 64 MiB.
	ErrResponseTooLarge = errors.New("response too large")

	// ErrEventTooLarge ends a stream on an event over StreamOptions.MaxEventSize;
	// see [EventTooLargeError].
	ErrEventTooLarge = errors.New("event too large")
	// ErrStreamStalled ends a connection silent for StreamOptions.IdleTimeout.
	ErrStreamStalled = errors.New("stream stalled")
	// ErrNotEventStream matches a 2xx answer that is not an event stream.
	ErrNotEventStream = errors.New("not an event stream")
	// ErrStreamEnded matches the answer 204 to a stream request, by which the
	// server says that there is nothing more to come back for.
	ErrStreamEnded = errors.New("stream ended for good")
)

// maxErrorBody bounds what is kept of a refusal, in bytes.
const maxErrorBody = 1 << 20

// kind says where an error without an HTTP answer came from.
type kind uint8

const (
	kindAnswer    kind = iota // the server answered
	kindTransport             // no whole answer
	kindCaller                // the caller's context ended
	kindArgument              // refused here, before any request
)

// Error is every failure of a call: an answer that is not 2xx, a transport
// failure, an argument refused. It is always returned as a pointer. The key
// never appears in it.
type Error struct {
	StatusCode int             // 0 when there was no HTTP answer
	Message    string          // what the server said, or what went wrong
	Fields     []FieldError    // what a 400 or 422 lists as wrong
	Detail     json.RawMessage // the answer's "detail" member, nil when absent
	Body       []byte          // the answer's body, at most 1 MiB
	Method     string          // of the request
	Path       string          // of the request, escaped
	RequestID  string          // the answer's X-Request-Id
	RetryAfter *time.Duration  // from the answer; nil when absent or unreadable
	Attempts   int             // requests made for this call; for a stream, connections opened or tried
	Header     http.Header     // the answer's headers

	kind    kind
	reads   bool // the request changes nothing
	unsent  bool // no attempt got as far as a connection
	acted   bool // an earlier attempt may have been acted on
	lasting bool // the same request would fail in the same way
	other   string
	cause   error
}

// FieldError is one entry of a list of validation faults.
type FieldError struct {
	Loc  []any  `json:"loc"` // path to the fault: strings and numbers
	Msg  string `json:"msg"`
	Type string `json:"type"`
}

// Error says which request failed and how. It works on a zero value.
func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString("anyframe: ")
	if e.Method != "" {
		b.WriteString(e.Method + " " + e.Path + ": ")
	}
	if e.StatusCode != 0 {
		b.WriteString("[" + strconv.Itoa(e.StatusCode) + "] ")
	}
	switch {
	case e.Message != "":
		b.WriteString(e.Message)
	case e.cause != nil:
		b.WriteString(e.cause.Error())
	default:
		b.WriteString("request failed")
	}
	return b.String()
}

// Unwrap returns what caused the error, nil when the answer itself is all.
func (e *Error) Unwrap() error { return e.cause }

// Is matches the sentinels of this package by status.
func (e *Error) Is(target error) bool {
	switch target {
	case ErrInvalid:
		return e.StatusCode == http.StatusBadRequest || e.StatusCode == http.StatusUnprocessableEntity ||
			e.kind == kindArgument
	case ErrUnauthorized:
		return e.StatusCode == http.StatusUnauthorized
	case ErrForbidden:
		return e.StatusCode == http.StatusForbidden
	case ErrNotFound:
		return e.StatusCode == http.StatusNotFound
	case ErrConflict:
		return e.StatusCode == http.StatusConflict
	case ErrRateLimited:
		return e.StatusCode == http.StatusTooManyRequests
	case ErrServer:
		return e.StatusCode >= http.StatusInternalServerError
	case ErrTransport:
		return e.kind == kindTransport
	}
	return false
}

// Elsewhere returns another base URL at which the API may be, when the error means
// that it is not at the client's; else "". The message names it too.
func (e *Error) Elsewhere() string { return e.other }

// statusClientClosedRequest is what nginx reports when it gave up on a request
// that the server behind it may well have read.
const statusClientClosedRequest = 499

// Sent reports whether the server may have acted on the request. It is false
// only when that is impossible: the argument was refused here, no connection
// was ever made (dial, DNS, TLS), or the server refused with a 4xx, 429
// included. Everything else is true: a reset, a timeout while waiting for the
// answer, any 5xx, a 3xx, an unreadable 2xx, and the two 4xx that speak of
// time and not of refusal, 408 and 499. A call for which Sent is false can be
// made again without being done twice.
func (e *Error) Sent() bool {
	switch {
	case e.acted:
		return true
	case e.StatusCode == http.StatusRequestTimeout || e.StatusCode == statusClientClosedRequest:
		return true
	case e.StatusCode >= 400 && e.StatusCode < 500:
		return false
	}
	return !e.unsent
}

// SessionStateError says that a session cannot do what was asked because of
// its status; Session is the record that said so.
type SessionStateError struct{ Session *Session }

// Error names the session, its status and, if the API gives one, the reason.
func (e *SessionStateError) Error() string {
	if e.Session == nil {
		return "anyframe: session is not running"
	}
	text := fmt.Sprintf("anyframe: session %s is %s", e.Session.ID, e.Session.Status)
	if e.Session.ErrorReason != "" {
		text += ": " + withoutKeys(e.Session.ErrorReason)
	}
	return text
}

// EventTooLargeError is an event over StreamOptions.MaxEventSize, which ends its
// stream: to try the same again would meet the same event. A caller who can do
// without it continues after its ID. It matches [ErrEventTooLarge].
type EventTooLargeError struct {
	ID    string // "" when it had not come before the limit was reached
	Limit int    // bytes
}

// Error names the event and the limit.
func (e *EventTooLargeError) Error() string {
	return fmt.Sprintf("event %q is over %d bytes", e.ID, e.Limit)
}

// Is matches [ErrEventTooLarge].
func (e *EventTooLargeError) Is(target error) bool { return target == ErrEventTooLarge }

// WaitTimeoutError says that a wait ran out of time.
// It matches [context.DeadlineExceeded].
type WaitTimeoutError struct {
	What  string        // what was waited for
	Last  string        // the last status seen; "" when none was
	After time.Duration // how long the wait was
}

// Error says what was waited for, how long, and what was last seen.
func (e *WaitTimeoutError) Error() string {
	return fmt.Sprintf("anyframe: %s: not after %v, last seen %q", e.What, e.After.Round(time.Millisecond), e.Last)
}

// Is matches [context.DeadlineExceeded].
func (e *WaitTimeoutError) Is(target error) bool { return target == context.DeadlineExceeded }

// argumentError refuses an argument before any request.
func argumentError(method, path, message string, cause error) *Error {
	return &Error{Method: method, Path: path, Message: message, kind: kindArgument, unsent: true, cause: cause}
}
