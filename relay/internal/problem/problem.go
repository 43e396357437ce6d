package problem

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net/http"
	"strconv"
	"time"

	"github.com/anyframe-relay/relay/anyframe"
	"github.com/anyframe-relay/relay/relay/internal/store"
	"github.com/anyframe-relay/relay/relay/internal/upstream"
)

// Problem is a refusal as sent to a visitor: an RFC 9457 document with one additional
// member, code, which is stable and which the widget switches on.
type Problem struct {
	Status     int
	Code       string
	title      string
	Detail     string
	RetryAfter time.Duration // 0: none
}

func (p *Problem) Error() string { return p.Code + ": " + p.Detail }

// Is makes errors.Is match problems by code, regardless of their detail.
func (p *Problem) Is(target error) bool {
	t, ok := target.(*Problem)
	return ok && t.Code == p.Code
}

// With returns p with another detail.
func (p *Problem) With(format string, args ...any) *Problem {
	q := *p
	q.Detail = fmt.Sprintf(format, args...)
	return &q
}

// After returns p with a retry time.
func (p *Problem) After(d time.Duration) *Problem {
	q := *p
	q.RetryAfter = d
	return &q
}

// All refusals. Title and detail are shown to visitors, so they say what happened and
// what to do, in plain words. They must never contain AnyFrame's wording, an id or a key.
var (
	BadJSON         = &Problem{400, "bad_json", "Invalid request", "The request body is not a JSON object.", 0}
	BadRequest      = &Problem{400, "bad_request", "Invalid request", "The request is incomplete or invalid.", 0}
	EmptyMessage    = &Problem{400, "empty_message", "Empty message", "Enter a message or attach a file.", 0}
	VisitorUnknown  = &Problem{401, "visitor_unknown", "Session expired", "Your chat session has expired. Reload the page to start a new one.", 0}
	Identity        = &Problem{401, "identity_invalid", "Sign in again", "Your sign-in could not be verified. Sign in again.", 0}
	Origin          = &Problem{403, "origin_not_allowed", "Website not allowed", "This chat is not enabled for this website.", 0}
	AdminToken      = &Problem{401, "admin_unauthorized", "Token required", "Send an operator token (RELAY_ADMIN_TOKEN) as a bearer token.", 0}
	ConsoleReadOff  = &Problem{403, "console_read_off", "Reading disabled", "Operators cannot read conversations. To allow it, set RELAY_CONSOLE_READ=on.", 0}
	Blocked         = &Problem{403, "blocked", "Access blocked", "You cannot use this chat at the moment.", 0}
	ApprovalsOff    = &Problem{403, "approvals_off", "Approval not available", "Only the operator of this chat can approve or deny this request.", 0}
	ConsentRequired = &Problem{403, "consent_required", "Agreement required", "Agree to the terms of this chat before you send a message.", 0}
	FeedbackOff     = &Problem{403, "feedback_off", "Rating not available", "This chat does not accept ratings.", 0}
	NotFound        = &Problem{404, "not_found", "Not found", "This page does not exist.", 0}
	Method          = &Problem{405, "method_not_allowed", "Method not allowed", "This address does not support this request method.", 0}
	PromptUnknown   = &Problem{404, "prompt_unknown", "Question not found", "This question is no longer available.", 0}
	TurnUnknown     = &Problem{404, "turn_unknown", "Message not found", "This message does not exist.", 0}
	TurnOver        = &Problem{409, "turn_over", "Already answered", "The agent has already finished this message.", 0}
	TurnStopped     = &Problem{409, "turn_stopped", "Message stopped", "This message was stopped before it was sent.", 0}
	PromptSettled   = &Problem{409, "prompt_settled", "Already answered", "This question has already been answered.", 0}
	TurnConflict    = &Problem{409, "turn_conflict", "Message already sent", "A different message was already sent with this Idempotency-Key.", 0}
	RequestTimeout  = &Problem{408, "request_timeout", "Upload timed out", "The upload took too long. Check your connection and try again.", 0}
	TooLarge        = &Problem{413, "message_too_large", "Message too long", "The message is too long. Shorten it and try again.", 0}
	TooMany         = &Problem{413, "too_many_attachments", "Too many attachments", "The message has too many attachments.", 0}
	AttachLarge     = &Problem{413, "attachment_too_large", "Attachment too large", "An attachment is too large.", 0}
	AttachType      = &Problem{415, "attachment_type", "File type not supported", "Attachments of this type are not supported.", 0}
	MediaType       = &Problem{415, "unsupported_media_type", "Invalid request", "The request body must be sent as application/json.", 0}
	Misdirected     = &Problem{421, "misdirected", "Wrong address", "This chat is not available at this address.", 0}
	ChallengeNeeded = &Problem{428, "challenge_required", "Browser check needed", "This browser did not pass the check that starts a new conversation. Update the browser and reload the page, or use another device.", 0}
	RateLimited     = &Problem{429, "rate_limited", "Too many requests", "You have sent too many requests. Wait a moment and try again.", 0}
	Streams         = &Problem{429, "too_many_streams", "Too many open tabs", "This chat is open in too many tabs. Close some of them and try again.", 10 * time.Second}
	SessionQuota    = &Problem{429, "session_quota", "Too many conversations", "Too many new conversations were started from your network. Try again later.", 0}
	TurnBudget      = &Problem{429, "turn_budget", "Daily limit reached", "The daily limit for messages in this chat has been reached. Try again tomorrow.", 0}
	Internal        = &Problem{500, "internal", "Something went wrong", "An unexpected error occurred. Try again.", 0}
	Upstream        = &Problem{502, "upstream_failed", "Agent not reachable", "The agent could not be reached. Try again.", 0}
	Refused         = &Problem{502, "upstream_refused", "Not allowed", "The agent does not allow this.", 0}
	UpstreamSlow    = &Problem{504, "upstream_timeout", "Agent timed out", "The agent took too long to respond. Try again.", 0}
	Booting         = &Problem{503, "session_booting", "Agent starting", "The agent is starting, which usually takes less than a minute. Try again shortly.", 3 * time.Second}
	Unavailable     = &Problem{503, "upstream_unavailable", "Agent unavailable", "The agent is temporarily unavailable. Try again shortly.", 5 * time.Second}
	StoreAway       = &Problem{503, "at_capacity", "Temporarily unavailable", "The chat is temporarily unavailable. Try again in a moment.", 2 * time.Second}
	Capacity        = &Problem{503, "at_capacity", "All agents are busy", "All agents are busy. Try again in a moment.", 30 * time.Second}
	Budget          = &Problem{503, "at_capacity", "Daily limit reached", "The daily limit for new conversations has been reached. Try again later.", 0}
	Paused          = &Problem{503, "paused", "Chat paused", "This chat is paused. Try again later.", 30 * time.Second}
	Draining        = &Problem{503, "draining", "Restarting", "The chat is restarting. Try again in a moment.", time.Second} // another relay is already running
)

// Document is the JSON form of a problem.
type Document struct {
	Type       string `json:"type"`
	Title      string `json:"title"`
	Status     int    `json:"status"`
	Detail     string `json:"detail"`
	Code       string `json:"code"`
	RetryAfter int    `json:"retry_after,omitzero"` // in seconds
	Fatal      *bool  `json:"fatal,omitzero"`       // on an event stream only
	Challenge  any    `json:"challenge,omitzero"`   // must be solved, with challenge_required
}

// Challenged is [ChallengeNeeded] with the challenge that must be solved.
type Challenged struct{ Challenge any }

func (*Challenged) Error() string { return ChallengeNeeded.Error() }

// Unwrap returns [ChallengeNeeded].
func (*Challenged) Unwrap() error { return ChallengeNeeded }

// Document returns the JSON form of p.
func (p *Problem) Document() Document {
	return Document{
		Type: "about:blank", Title: p.title, Status: p.Status, Detail: p.Detail, Code: p.Code,
		RetryAfter: int(math.Ceil(p.RetryAfter.Seconds())),
	}
}

// Of converts any error to the problem that the visitor receives. An unknown error
// becomes an internal one.
func Of(err error) *Problem {
	if p, ok := errors.AsType[*Problem](err); ok {
		return p
	}
	if errors.Is(err, store.ErrUnavailable) || errors.Is(err, store.ErrConflict) { // another process was faster
		return StoreAway
	}
	if wait, open := upstream.BreakerWait(err); open {
		return Unavailable.After(wait)
	}
	if errors.Is(err, upstream.ErrKeyRefused) { // before the client's own error, which wraps it
		return Unavailable.After(10 * time.Second) // when the key is retried
	}
	if e, ok := errors.AsType[*anyframe.Error](err); ok {
		return upstreamProblem(e)
	}
	if _, ok := errors.AsType[*anyframe.WaitTimeoutError](err); ok {
		return UpstreamSlow
	}
	if _, ok := errors.AsType[*anyframe.SessionStateError](err); ok {
		return Upstream
	}
	return Internal
}

// OfWait returns the refusal of a turn that waited until ctx ended: the problem that is
// the cause, or else that the sandbox takes too long.
func OfWait(ctx context.Context) *Problem {
	if p, ok := errors.AsType[*Problem](context.Cause(ctx)); ok {
		return p
	}
	return Booting
}

// CodeOf returns the code of err's problem, or "" if err is nil.
func CodeOf(err error) string {
	if err == nil {
		return ""
	}
	return Of(err).Code
}

func upstreamProblem(e *anyframe.Error) *Problem {
	switch {
	case errors.Is(e, anyframe.ErrUnauthorized), errors.Is(e, anyframe.ErrForbidden):
		return Refused // only this call was refused: the key is valid
	case errors.Is(e, anyframe.ErrRateLimited):
		wait := 5 * time.Second
		if e.RetryAfter != nil {
			wait = min(max(*e.RetryAfter, time.Second), time.Minute)
		}
		return Unavailable.After(wait)
	case errors.Is(e, context.DeadlineExceeded), isTimeout(e):
		return UpstreamSlow
	default:
		return Upstream
	}
}

func isTimeout(err error) bool {
	t, ok := errors.AsType[interface {
		error
		Timeout() bool
	}](err)
	return ok && t.Timeout()
}

// Write answers a request with err. It must be called only once, before anything else is
// written.
func Write(w http.ResponseWriter, err error) *Problem {
	p := Of(err)
	h := w.Header()
	h.Set("Content-Type", "application/problem+json")
	if p.RetryAfter > 0 {
		h.Set("Retry-After", strconv.Itoa(p.Document().RetryAfter))
	}
	w.WriteHeader(p.Status)
	doc := p.Document()
	if asked, ok := errors.AsType[*Challenged](err); ok {
		doc.Challenge = asked.Challenge
	}
	_ = json.NewEncoder(w).Encode(doc) // fails only if the client has disconnected
	return p
}
