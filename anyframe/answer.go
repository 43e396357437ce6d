package anyframe

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/anyframe-relay/relay/anyframe/internal/loose"
)

// answer is a whole 2xx answer.
type answer struct {
	request   request
	status    int
	header    http.Header
	requestID string
	attempts  int
	body      []byte
}

// invalid is a 2xx answer that is not what it should be.
func (c *Client) invalid(a *answer, cause error) error {
	e := &Error{
		StatusCode: a.status, Message: "invalid response: " + cause.Error(), Method: a.request.method,
		Path: a.request.path, RequestID: a.requestID, Attempts: a.attempts, Header: a.header,
		// A copy: the rest may be large, and the error may be kept.
		Body:  keysIn.ReplaceAll(bytes.Clone(a.body[:min(len(a.body), maxErrorBody)]), []byte(redacted)),
		cause: fmt.Errorf("%w: %w", ErrInvalidResponse, cause),
	}
	c.redact(e, a.request)
	if !json.Valid(a.body) {
		c.tellOther(e)
	}
	return e
}

// refusal is an answer that is not the one wanted. It reads the body.
func (c *Client) refusal(r request, resp *http.Response) *Error {
	e := &Error{
		StatusCode: resp.StatusCode, Method: r.method, Path: r.path, Header: resp.Header,
		RequestID: requestID(resp.Header), RetryAfter: parseRetryAfter(resp.Header), reads: r.reads,
	}
	// However the body ends, the status is what counts.
	e.Body, _, _ = readBody(resp.Body, maxErrorBody)
	own, said := e.parseDetail()
	c.redact(e, r)
	switch target := redirectTarget(resp); {
	case target != "":
		e.Message = redactText("redirects to "+target+", which is not followed", c.secretsOf(r))
	case own != "":
		e.Message = own
	case said:
	case len(e.Detail) > 0:
		e.Message = string(e.Detail)
	default:
		e.Message = strings.TrimSpace(string(e.Body))
	}
	if e.Message == "" {
		e.Message = http.StatusText(e.StatusCode)
	}
	if e.Message == "" {
		e.Message = "HTTP " + strconv.Itoa(e.StatusCode)
	}
	e.Message = shortened(e.Message)
	if target := redirectTarget(resp); target != "" && strings.HasPrefix(target, c.otherBase()) {
		c.tellOther(e)
	}
	switch e.StatusCode {
	case http.StatusNotFound, http.StatusGone, http.StatusMisdirectedRequest:
		if !json.Valid(e.Body) { // not the API, which explains itself in JSON
			c.tellOther(e)
		}
	}
	return e
}

// redirectTarget is where the answer redirects to, without what may be a secret
// in it; "" when it does not.
func redirectTarget(resp *http.Response) string {
	if resp.StatusCode < 300 || resp.StatusCode > 399 {
		return ""
	}
	u, err := resp.Location()
	if err != nil {
		return ""
	}
	return (&url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path, RawPath: u.RawPath}).String()
}

// parseDetail reads the "detail" member of the body. said is whether it has set
// the message; own is a message in our own words, which nothing is redacted of.
func (e *Error) parseDetail() (own string, said bool) {
	var answer struct {
		Detail json.RawMessage `json:"detail"`
	}
	if json.Unmarshal(e.Body, &answer) != nil || len(answer.Detail) == 0 {
		return "", false
	}
	detail := answer.Detail
	e.Detail = detail
	switch detail[0] {
	case '"':
		return "", json.Unmarshal(detail, &e.Message) == nil
	case '[':
		var items []json.RawMessage
		if json.Unmarshal(detail, &items) != nil {
			return "", false
		}
		for _, item := range items {
			var f FieldError
			if loose.Object(item, &f) == nil { // an odd item stays in Detail
				e.Fields = append(e.Fields, f)
			}
		}
		return fmt.Sprintf("validation failed (%d issue(s))", len(items)), true
	case 'n': // null says nothing
		e.Detail = nil
		return "", true
	}
	return "", false
}

// otherBase is the other of the two base URLs that the API has; of any other base
// URL it is one that nothing begins with.
func (c *Client) otherBase() string {
	switch strings.ToLower(c.baseURL) {
	case DefaultBaseURL:
		return AlternateBaseURL
	case AlternateBaseURL:
		return DefaultBaseURL
	}
	return "\x00"
}

// tellOther says where else the API may be, in an error that means that it is not
// where it was asked.
func (c *Client) tellOther(e *Error) {
	if other := c.otherBase(); strings.HasPrefix(other, "https:") {
		e.other = other
		e.Message += "; the API may be at " + other + ": set " + envBaseURL + " or WithBaseURL"
	}
}
