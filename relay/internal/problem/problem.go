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

// Problem is a refusal as told to a visitor: an RFC 9457 document with one
// member of ours, code, which is stable and is what the widget switches on.
type Problem struct {
	Status     int
	Code       string
	title      string
	Detail     string
	RetryAfter time.Duration // 0: none
}

func (p *Problem) Error() string { return p.Code + ": " + p.Detail }

// Is makes errors.Is match problems by code, whatever their detail says.
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

// After returns p with a time to come back.
func (p *Problem) After(d time.Duration) *Problem {
	q := *p
	q.RetryAfter = d
	return &q
}

// The refusals, all of them. Their details are for visitors: nothing that
// AnyFrame said, no id and no key may get in.
var (
	BadJSON        = &Problem{400, "bad_json", "Not JSON", "The body is not a JSON object.", 0}
	BadRequest     = &Problem{400, "bad_request", "Bad request", "The request is not complete or not right.", 0}
	EmptyMessage   = &Problem{400, "empty_message", "Nothing to send", "The message is empty.", 0}
	VisitorUnknown = &Problem{401, "visitor_unknown", "Who are you?", "This visitor is not known, or no longer.", 0}
	Identity       = &Problem{401, "identity_invalid", "Identity not accepted", "The identity could not be verified.", 0}
	Origin         = &Problem{403, "origin_not_allowed", "Not from this site", "This site is not on the relay's list of allowed origins.", 0}
	ApprovalsOff   = &Problem{403, "approvals_off", "Not for visitors", "Permission prompts are decided by the operator.", 0}
	NotFound       = &Problem{404, "not_found", "Not found", "There is nothing here.", 0}
	Method         = &Problem{405, "method_not_allowed", "Method not allowed", "This address does not take that method.", 0}
	PromptUnknown  = &Problem{404, "prompt_unknown", "No such question", "This question is not known.", 0}
	PromptSettled  = &Problem{409, "prompt_settled", "Already answered", "This question has been answered.", 0}
	TurnConflict   = &Problem{409, "turn_conflict", "Key used twice", "This Idempotency-Key was used with another message.", 0}
	RequestTimeout = &Problem{408, "request_timeout", "Too slow", "The body took too long to arrive.", 0}
	TooLarge       = &Problem{413, "message_too_large", "Message too long", "The message is too long.", 0}
	TooMany        = &Problem{413, "too_many_attachments", "Too many attachments", "There are too many attachments.", 0}
	AttachLarge    = &Problem{413, "attachment_too_large", "Attachment too large", "An attachment is too large.", 0}
	AttachType     = &Problem{415, "attachment_type", "Attachment type", "Attachments of this type are not accepted.", 0}
	MediaType      = &Problem{415, "unsupported_media_type", "Not JSON", "The body must be sent as application/json.", 0}
	RateLimited    = &Problem{429, "rate_limited", "Slow down", "Too many requests; try again in a moment.", 0}
	Streams        = &Problem{429, "too_many_streams", "Too many tabs", "Too many event streams are open.", 10 * time.Second}
	SessionQuota   = &Problem{429, "session_quota", "Too many conversations", "Too many new conversations from this address; try again later.", 0}
	Internal       = &Problem{500, "internal", "Something went wrong", "Something went wrong on our side.", 0}
	Upstream       = &Problem{502, "upstream_failed", "The agent did not answer", "The agent could not be reached; try again.", 0}
	Refused        = &Problem{502, "upstream_refused", "The agent refused", "The agent does not allow this.", 0}
	UpstreamSlow   = &Problem{504, "upstream_timeout", "The agent took too long", "The agent did not answer in time; try again.", 0}
	Booting        = &Problem{503, "session_booting", "Waking the agent", "The agent is waking up, usually in under a minute; try again shortly.", 3 * time.Second}
	Unavailable    = &Problem{503, "upstream_unavailable", "The agent is unavailable", "The agent is unavailable at the moment; try again shortly.", 5 * time.Second}
	StoreAway      = &Problem{503, "at_capacity", "Try again shortly", "The relay cannot take this right now; try again in a moment.", 2 * time.Second}
	Capacity       = &Problem{503, "at_capacity", "All agents are busy", "All agents are busy; try again in a moment.", 30 * time.Second}
	Budget         = &Problem{503, "at_capacity", "No more today", "No more conversations can be begun today; try again later.", 0}
	Draining       = &Problem{503, "draining", "Restarting", "The relay is restarting; try again in a moment.", time.Second} // another relay is there already
)

// Document is how a problem travels.
type Document struct {
	Type       string `json:"type"`
	Title      string `json:"title"`
	Status     int    `json:"status"`
	Detail     string `json:"detail"`
	Code       string `json:"code"`
	RetryAfter int    `json:"retry_after,omitzero"` // seconds
	Fatal      *bool  `json:"fatal,omitzero"`       // on an event stream only
}

func (p *Problem) Document() Document {
	return Document{
		Type: "about:blank", Title: p.title, Status: p.Status, Detail: p.Detail, Code: p.Code,
		RetryAfter: int(math.Ceil(p.RetryAfter.Seconds())),
	}
}

// Of turns any error into the problem that a visitor is told. What is
// not known is internal.
func Of(err error) *Problem {
	if p, ok := errors.AsType[*Problem](err); ok {
		return p
	}
	if errors.Is(err, store.ErrUnavailable) {
		return StoreAway
	}
	if wait, open := upstream.BreakerWait(err); open {
		return Unavailable.After(wait)
	}
	if errors.Is(err, upstream.ErrKeyRefused) { // before the client's own error, which wraps it
		return Unavailable.After(10 * time.Second) // when the key is tried again
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

// CodeOf is the code of the problem that err is, "" when it is nil.
func CodeOf(err error) string {
	if err == nil {
		return ""
	}
	return Of(err).Code
}

func upstreamProblem(e *anyframe.Error) *Problem {
	switch {
	case errors.Is(e, anyframe.ErrUnauthorized), errors.Is(e, anyframe.ErrForbidden):
		return Refused // this call alone: the key is good
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

// Write answers a request with err. It may be called once, before
// anything else was written.
func Write(w http.ResponseWriter, err error) *Problem {
	p := Of(err)
	h := w.Header()
	h.Set("Content-Type", "application/problem+json")
	if p.RetryAfter > 0 {
		h.Set("Retry-After", strconv.Itoa(p.Document().RetryAfter))
	}
	w.WriteHeader(p.Status)
	_ = json.NewEncoder(w).Encode(p.Document()) // the client is gone: nobody to tell
	return p
}
