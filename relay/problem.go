package relay

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
	"github.com/anyframe-relay/relay/relay/store"
)

// problem is a refusal as told to a visitor: an RFC 9457 document with one
// member of ours, code, which is stable and is what the widget switches on.
type problem struct {
	status     int
	code       string
	title      string
	detail     string
	retryAfter time.Duration // 0: none
}

func (p *problem) Error() string { return p.code + ": " + p.detail }

// Is makes errors.Is match problems by code, whatever their detail says.
func (p *problem) Is(target error) bool {
	t, ok := target.(*problem)
	return ok && t.code == p.code
}

// with returns p with another detail.
func (p *problem) with(format string, args ...any) *problem {
	q := *p
	q.detail = fmt.Sprintf(format, args...)
	return &q
}

// after returns p with a time to come back.
func (p *problem) after(d time.Duration) *problem {
	q := *p
	q.retryAfter = d
	return &q
}

// The refusals, all of them. Their details are for visitors: nothing that
// AnyFrame said, no id and no key may get in.
var (
	errBadJSON        = &problem{400, "bad_json", "Not JSON", "The body is not a JSON object.", 0}
	errBadRequest     = &problem{400, "bad_request", "Bad request", "The request is not complete or not right.", 0}
	errEmptyMessage   = &problem{400, "empty_message", "Nothing to send", "The message is empty.", 0}
	errVisitorUnknown = &problem{401, "visitor_unknown", "Who are you?", "This visitor is not known, or no longer.", 0}
	errIdentity       = &problem{401, "identity_invalid", "Identity not accepted", "The identity could not be verified.", 0}
	errOrigin         = &problem{403, "origin_not_allowed", "Not from this site", "This site is not on the relay's list of allowed origins.", 0}
	errApprovalsOff   = &problem{403, "approvals_off", "Not for visitors", "Permission prompts are decided by the operator.", 0}
	errNotFound       = &problem{404, "not_found", "Not found", "There is nothing here.", 0}
	errMethod         = &problem{405, "method_not_allowed", "Method not allowed", "This address does not take that method.", 0}
	errPromptUnknown  = &problem{404, "prompt_unknown", "No such question", "This question is not known.", 0}
	errPromptSettled  = &problem{409, "prompt_settled", "Already answered", "This question has been answered.", 0}
	errTurnConflict   = &problem{409, "turn_conflict", "Key used twice", "This Idempotency-Key was used with another message.", 0}
	errRequestTimeout = &problem{408, "request_timeout", "Too slow", "The body took too long to arrive.", 0}
	errTooLarge       = &problem{413, "message_too_large", "Message too long", "The message is too long.", 0}
	errTooMany        = &problem{413, "too_many_attachments", "Too many attachments", "There are too many attachments.", 0}
	errAttachLarge    = &problem{413, "attachment_too_large", "Attachment too large", "An attachment is too large.", 0}
	errAttachType     = &problem{415, "attachment_type", "Attachment type", "Attachments of this type are not accepted.", 0}
	errMediaType      = &problem{415, "unsupported_media_type", "Not JSON", "The body must be sent as application/json.", 0}
	errRateLimited    = &problem{429, "rate_limited", "Slow down", "Too many requests; try again in a moment.", 0}
	errStreams        = &problem{429, "too_many_streams", "Too many tabs", "Too many event streams are open.", 10 * time.Second}
	errSessionQuota   = &problem{429, "session_quota", "Too many conversations", "Too many new conversations from this address; try again later.", 0}
	errInternal       = &problem{500, "internal", "Something went wrong", "Something went wrong on our side.", 0}
	errUpstream       = &problem{502, "upstream_failed", "The agent did not answer", "The agent could not be reached; try again.", 0}
	errUpstreamSlow   = &problem{504, "upstream_timeout", "The agent took too long", "The agent did not answer in time; try again.", 0}
	errBooting        = &problem{503, "session_booting", "Waking the agent", "The agent is waking up, usually in under a minute; try again shortly.", 3 * time.Second}
	errUnavailable    = &problem{503, "upstream_unavailable", "The agent is unavailable", "The agent is unavailable at the moment; try again shortly.", 5 * time.Second}
	errStoreAway      = &problem{503, "at_capacity", "Try again shortly", "The relay cannot take this right now; try again in a moment.", 2 * time.Second}
	errCapacity       = &problem{503, "at_capacity", "All agents are busy", "All agents are busy; try again in a moment.", 30 * time.Second}
	errBudget         = &problem{503, "at_capacity", "No more today", "No more conversations can be begun today; try again later.", 0}
	errDraining       = &problem{503, "draining", "Restarting", "The relay is restarting; try again in a moment.", time.Second} // another relay is there already
)

// document is how a problem travels.
type document struct {
	Type       string `json:"type"`
	Title      string `json:"title"`
	Status     int    `json:"status"`
	Detail     string `json:"detail"`
	Code       string `json:"code"`
	RetryAfter int    `json:"retry_after,omitzero"` // seconds
	Fatal      *bool  `json:"fatal,omitzero"`       // on an event stream only
}

func (p *problem) document() document {
	return document{
		Type: "about:blank", Title: p.title, Status: p.status, Detail: p.detail, Code: p.code,
		RetryAfter: int(math.Ceil(p.retryAfter.Seconds())),
	}
}

// problemOf turns any error into the problem that a visitor is told. What is
// not known is internal.
func problemOf(err error) *problem {
	if p, ok := errors.AsType[*problem](err); ok {
		return p
	}
	if errors.Is(err, store.ErrUnavailable) {
		return errStoreAway
	}
	if wait, open := breakerWait(err); open {
		return errUnavailable.after(wait)
	}
	if errors.Is(err, errKeyRefused) { // before the client's own error, which wraps it
		return errUnavailable.after(time.Minute)
	}
	if e, ok := errors.AsType[*anyframe.Error](err); ok {
		return upstreamProblem(e)
	}
	if _, ok := errors.AsType[*anyframe.WaitTimeoutError](err); ok {
		return errUpstreamSlow
	}
	if _, ok := errors.AsType[*anyframe.SessionStateError](err); ok {
		return errUpstream
	}
	return errInternal
}

// codeOf is the code of the problem that err is, "" when it is nil.
func codeOf(err error) string {
	if err == nil {
		return ""
	}
	return problemOf(err).code
}

func upstreamProblem(e *anyframe.Error) *problem {
	switch {
	case errors.Is(e, anyframe.ErrUnauthorized), errors.Is(e, anyframe.ErrForbidden):
		return errUnavailable.after(time.Minute)
	case errors.Is(e, anyframe.ErrRateLimited):
		wait := 5 * time.Second
		if e.RetryAfter != nil {
			wait = min(max(*e.RetryAfter, time.Second), time.Minute)
		}
		return errUnavailable.after(wait)
	case errors.Is(e, context.DeadlineExceeded), isTimeout(e):
		return errUpstreamSlow
	default:
		return errUpstream
	}
}

func isTimeout(err error) bool {
	t, ok := errors.AsType[interface {
		error
		Timeout() bool
	}](err)
	return ok && t.Timeout()
}

// writeProblem answers a request with err. It may be called once, before
// anything else was written.
func writeProblem(w http.ResponseWriter, err error) *problem {
	p := problemOf(err)
	h := w.Header()
	h.Set("Content-Type", "application/problem+json")
	if p.retryAfter > 0 {
		h.Set("Retry-After", strconv.Itoa(p.document().RetryAfter))
	}
	w.WriteHeader(p.status)
	_ = json.NewEncoder(w).Encode(p.document()) // the client is gone: nobody to tell
	return p
}
