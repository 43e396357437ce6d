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

// Sentinel errors for [errors.Is]. Those named after an HTTP status match any
// [*Error] with that status.
var (
	// ErrNoAPIKey is returned by [New] if no source has a key.
	ErrNoAPIKey = errors.New("no API key: set ANYFRAME_API_KEY or pass WithAPIKey")

	// ErrInvalid matches 400 and 422, and arguments refused before any request.
	ErrInvalid      = errors.New("invalid request")
	ErrUnauthorized = errors.New("unauthorized")      // 401
	ErrForbidden    = errors.New("forbidden")         // 403
	ErrNotFound     = errors.New("not found")         // 404
	ErrConflict     = errors.New("conflict")          // 409
	ErrRateLimited  = errors.New("too many requests") // 429
	ErrServer       = errors.New("server error")      // 500 and above

	// ErrTransport matches a request without a complete response: no connection, a
	// reset, or a timeout of this package. It does not match if the caller's context
	// ended; that is [context.Canceled] or [context.DeadlineExceeded].
	ErrTransport = errors.New("transport failure")

	// ErrInvalidResponse matches a 2xx response without the expected JSON.
	ErrInvalidResponse = errors.New("invalid response")
	// ErrResponseTooLarge matches a 2xx response over 64 MiB.
	ErrResponseTooLarge = errors.New("response too large")

	// ErrEventTooLarge ends a stream on an event over StreamOptions.MaxEventSize;
	// see [EventTooLargeError].
	ErrEventTooLarge = errors.New("event too large")
	// ErrStreamStalled ends a connection that was silent for
	// StreamOptions.IdleTimeout.
	ErrStreamStalled = errors.New("stream stalled")
	// ErrNotEventStream matches a 2xx response that is not an event stream.
	ErrNotEventStream = errors.New("not an event stream")
	// ErrStreamEnded matches a 204 response to a stream request: the server has no
	// more events, and the client must not reconnect.
	ErrStreamEnded = errors.New("stream ended for good")
)

// maxErrorBody bounds how much of an error response is kept, in bytes.
const maxErrorBody = 1 << 20

// kind is the source of an error without an HTTP response.
type kind uint8

const (
	kindAnswer    kind = iota // the server responded
	kindTransport             // no complete response
	kindCaller                // the caller's context ended
	kindArgument              // refused before any request
)

// Error is the error of a failed call: a response other than 2xx, a transport
// failure, or a refused argument. It is always returned as a pointer. It never
// contains the key.
type Error struct {
	StatusCode int             // 0 if there was no HTTP response
	Message    string          // the server's message, or what went wrong
	Fields     []FieldError    // the errors that a 400 or 422 lists
	Detail     json.RawMessage // the response's "detail" member, nil if absent
	Body       []byte          // the response's body, at most 1 MiB
	Method     string          // of the request
	Path       string          // of the request, escaped
	RequestID  string          // the response's X-Request-Id
	RetryAfter *time.Duration  // from the response; nil if absent or unreadable
	Attempts   int             // requests made for this call; for a stream, connections opened or tried
	Header     http.Header     // the response's headers

	kind    kind
	reads   bool // the request changes nothing
	unsent  bool // no attempt got a connection
	acted   bool // the server may have acted on an earlier request of the call
	lasting bool // the same request would fail in the same way
	other   string
	cause   error
}

// FieldError is one entry of a list of validation errors.
type FieldError struct {
	Loc  []any  `json:"loc"` // path to the invalid value: strings and numbers
	Msg  string `json:"msg"`
	Type string `json:"type"`
}

// Error describes the request and the failure. It works on a zero value.
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

// Unwrap returns the cause of the error, or nil if that is the response itself.
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

// Elsewhere returns another base URL to try if the error means that the API is not
// at the client's base URL; otherwise "". The message names it too.
func (e *Error) Elsewhere() string { return e.other }

// statusClientClosedRequest is nginx's status for a request that it gave up on,
// although the server behind it may have read the request.
const statusClientClosedRequest = 499

// Sent reports whether the server may have acted on the request. It is false only
// if that is impossible: the argument was refused, no connection was ever made
// (dial, DNS, TLS), or the server refused with a 4xx, including 429. Otherwise it
// is true: a reset, a timeout while waiting for the response, any 5xx, a 3xx, an
// unreadable 2xx, and 408 and 499, which are about time and not a refusal. If Sent
// is false, the request can be repeated without acting twice. If a call makes
// several requests, Sent is about the one in Method and Path. Only for
// [SessionsService.Turn], it is about the message.
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

// SessionStateError reports that a session's status does not allow the operation.
// Session is the record with that status.
type SessionStateError struct{ Session *Session }

// Error contains the session, its status and, if the API gives one, the reason.
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

// EventTooLargeError reports an event over StreamOptions.MaxEventSize, which ends
// its stream. A reconnect would receive the same event again. To skip it, continue
// after its ID. It matches [ErrEventTooLarge].
type EventTooLargeError struct {
	ID    string // "" if it had not arrived before the limit was reached
	Limit int    // bytes
}

// Error contains the event and the limit.
func (e *EventTooLargeError) Error() string {
	return fmt.Sprintf("event %q is over %d bytes", e.ID, e.Limit)
}

// Is matches [ErrEventTooLarge].
func (e *EventTooLargeError) Is(target error) bool { return target == ErrEventTooLarge }

// WaitTimeoutError reports that a wait timed out. It matches
// [context.DeadlineExceeded].
type WaitTimeoutError struct {
	What  string        // the state that was waited for
	Last  string        // the last status seen; "" if none was
	After time.Duration // the duration of the wait
}

// Error contains the awaited state, the duration and the last status.
func (e *WaitTimeoutError) Error() string {
	return fmt.Sprintf("anyframe: %s: not after %v, last seen %q", e.What, e.After.Round(time.Millisecond), e.Last)
}

// Is matches [context.DeadlineExceeded].
func (e *WaitTimeoutError) Is(target error) bool { return target == context.DeadlineExceeded }

// argumentError returns the error for an argument refused before any request.
func argumentError(method, path, message string, cause error) *Error {
	return &Error{Method: method, Path: path, Message: message, kind: kindArgument, unsent: true, cause: cause}
}
