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

// answer is a complete 2xx response.
type answer struct {
	request   request
	status    int
	header    http.Header
	requestID string
	attempts  int
	body      []byte // as received
}

// value returns the body's JSON value; empty if it has none.
func (a *answer) value() []byte { return bytes.TrimSpace(a.body) }

// invalid returns the error for a 2xx response that is not the expected one.
func (c *Client) invalid(a *answer, cause error) error {
	e := &Error{
		StatusCode: a.status, Message: "invalid response: " + cause.Error(), Method: a.request.method,
		Path: a.request.path, RequestID: a.requestID, Attempts: a.attempts, Header: a.header,
		// A copy: the body may be large, and the error may be kept.
		Body:  keysIn.ReplaceAll(bytes.Clone(a.body[:min(len(a.body), maxErrorBody)]), []byte(redacted)),
		cause: fmt.Errorf("%w: %w", ErrInvalidResponse, cause),
	}
	c.redact(e, a.request)
	if !json.Valid(a.body) {
		c.tellOther(e)
	}
	return e
}

// refusal returns the error for a response other than 2xx. It reads the body.
func (c *Client) refusal(r request, resp *http.Response) *Error {
	e := &Error{
		StatusCode: resp.StatusCode, Method: r.method, Path: r.path, Header: resp.Header,
		RequestID: requestID(resp.Header), RetryAfter: parseRetryAfter(resp.Header), reads: r.reads,
	}
	// The status counts, however the body ends.
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
		if !json.Valid(e.Body) { // not from the API, which sends its errors as JSON
			c.tellOther(e)
		}
	}
	return e
}

// redirectTarget returns the target of a redirect without parts that may be secret;
// "" if the response is not a redirect.
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

// parseDetail reads the "detail" member of the body. said reports whether it has
// set the message. own is a message of this package, in which nothing needs to be
// redacted.
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
			if loose.Object(item, &f) == nil { // an invalid item stays in Detail
				e.Fields = append(e.Fields, f)
			}
		}
		return fmt.Sprintf("validation failed (%d issue(s))", len(items)), true
	case 'n': // null contains no message
		e.Detail = nil
		return "", true
	}
	return "", false
}

// otherBase returns the other of the API's two base URLs. For any other base URL it
// returns a string that no URL begins with.
func (c *Client) otherBase() string {
	switch strings.ToLower(c.baseURL) {
	case DefaultBaseURL:
		return AlternateBaseURL
	case AlternateBaseURL:
		return DefaultBaseURL
	}
	return "\x00"
}

// tellOther adds the API's other base URL to an error that means that the API is
// not at this one.
func (c *Client) tellOther(e *Error) {
	if other := c.otherBase(); strings.HasPrefix(other, "https:") {
		e.other = other
		e.Message += "; the API may be at " + other + ": set " + envBaseURL + " or WithBaseURL"
	}
}
