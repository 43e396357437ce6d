package anyframe

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

// CallOption changes one call. Where a method makes several requests, as
// [SessionsService.Turn] and the waits do, headers, query and limits are for
// each of them, and body fields for those that send a body.
type CallOption func(*callOptions)

type callOptions struct {
	timeout time.Duration
	retries int
	capture *ResponseInfo
	header  http.Header
	query   url.Values
	fields  []bodyField
	noBody  bool // this request is one of several and has no body of its own
	fault   *optionFault
}

type bodyField struct {
	name  string
	value any
}

// optionFault is what is wrong with an option.
type optionFault struct{ where, name, fault string }

func (o *callOptions) refuse(where, name, fault string) {
	if o.fault == nil {
		o.fault = &optionFault{where, name, fault}
	}
}

// CallTimeout bounds each attempt of this call, and how long a stream may take
// to open. 0 means what [WithTimeout] says, negative no limit.
func CallTimeout(d time.Duration) CallOption {
	return func(o *callOptions) {
		if d != 0 {
			o.timeout = max(d, 0)
		}
	}
}

// CallRetries sets how often each request of this call may be retried. 0 means
// what [WithRetry] says, negative never. How often a stream reconnects is
// StreamOptions.MaxStalls.
func CallRetries(n int) CallOption {
	return func(o *callOptions) {
		if n != 0 {
			o.retries = max(n, 0)
		}
	}
}

// CallHeader sets a header of the request, such as an Idempotency-Key, in place
// of the client's own. The headers that the client needs for itself, such as
// Authorization, are refused; on a stream it also keeps its Accept,
// Accept-Encoding and Last-Event-ID.
func CallHeader(name, value string) CallOption {
	return func(o *callOptions) {
		switch {
		case !isToken(name):
			o.refuse("header", name, "is not a header name")
		case slices.Contains(ownHeaders, http.CanonicalHeaderKey(name)):
			o.refuse("header", name, "is set by the client")
		case strings.ContainsFunc(value, func(c rune) bool { return c < ' ' && c != '\t' || c == 0x7f }):
			o.refuse("header", name, "has a control character")
		default:
			if o.header == nil {
				o.header = http.Header{}
			}
			o.header.Set(name, value)
		}
	}
}

// ownHeaders are those that no option changes: the key, and the framing.
var ownHeaders = []string{
	"Authorization", "Connection", "Content-Length", "Host", "Keep-Alive", "Proxy-Authorization", "Te", "Trailer", "Transfer-Encoding", "Upgrade",
}

// isToken reports whether s may be the name of a header (RFC 9110, 5.6.2).
func isToken(s string) bool {
	return s != "" && !strings.ContainsFunc(s, func(c rune) bool {
		return c <= ' ' || c >= 0x7f || strings.ContainsRune(`"(),/:;<=>?@[\]{}`, c)
	})
}

// CallQuery adds a parameter to the request's query, in place of what the method
// itself would send under that name. Given twice for a name, both are sent.
func CallQuery(name, value string) CallOption {
	return func(o *callOptions) {
		if o.query == nil {
			o.query = url.Values{}
		}
		o.query.Add(name, value)
	}
}

// CallBodyField sets a member of the request's JSON object, such as one that
// this client does not know, in place of what the method itself would send. It
// makes a body where there is none. A request that cannot have one, such as a
// GET, and a body that is no object are refused. A [Secret] is sent in the clear
// and kept out of errors.
func CallBodyField(name string, value any) CallOption {
	return func(o *callOptions) { o.fields = append(o.fields, bodyField{name, value}) }
}

// CaptureResponse fills dst when the call is over, whether it succeeded or not;
// for a stream, each time the server has answered. dst is zero when there was no
// answer at all, but for Attempts. Of several requests the last one counts.
func CaptureResponse(dst *ResponseInfo) CallOption {
	return func(o *callOptions) { o.capture = dst }
}

// ResponseInfo is what was around the value a call returned.
type ResponseInfo struct {
	StatusCode int
	Header     http.Header
	RequestID  string // X-Request-Id
	Attempts   int    // requests made
	Body       []byte // as it came; where that is a new token, the token too; nil for a stream
}

func (i *ResponseInfo) fill(status int, h http.Header, attempts int, body []byte) {
	if i != nil {
		*i = ResponseInfo{StatusCode: status, Header: h, RequestID: requestID(h), Attempts: attempts, Body: body}
	}
}

// bodyless is for a request without a body that is one of several of a call.
func bodyless(o *callOptions) { o.noBody = true }

// also returns opts and one more, in a list of its own.
func also(opts []CallOption, opt CallOption) []CallOption {
	return append(slices.Clip(opts), opt)
}

// prepare applies the options to the request. The request is refused when it is
// or they are at fault.
func (c *Client) prepare(r request, opts []CallOption) (request, callOptions) {
	o := callOptions{timeout: c.timeout, retries: c.retry.MaxRetries}
	for _, opt := range opts {
		opt(&o)
	}
	if o.noBody {
		o.fields = nil
	}
	if f := o.fault; f != nil {
		return r.refuse(f.where, f.name, f.fault), o
	}
	if len(o.query) > 0 {
		query := url.Values{}
		maps.Copy(query, r.query)
		maps.Copy(query, o.query)
		r.query = query
	}
	r.header = o.header
	if len(o.fields) > 0 && (r.method == http.MethodGet || r.method == http.MethodHead) {
		r = r.refuse("body", o.fields[0].name, "is for a request with a body")
	}
	for i, f := range o.fields {
		value, secrets, err := revealed(f.value)
		if err != nil {
			r = r.refuse("body", f.name, err.Error())
		}
		o.fields[i].value = value
		r = r.hide(secrets...)
	}
	return r, o
}

// content returns the body of a request as it is sent; nil is none.
func (o *callOptions) content(r request) ([]byte, error) {
	body, err := encodeBody(r.body)
	if err != nil || len(o.fields) == 0 {
		return body, err
	}
	var members map[string]json.RawMessage
	if body != nil && (json.Unmarshal(body, &members) != nil || members == nil) {
		return nil, errors.New("is no object, so that it can have no field " + o.fields[0].name)
	}
	if members == nil {
		members = map[string]json.RawMessage{}
	}
	for _, f := range o.fields {
		if members[f.name], err = encodeBody(f.value); err != nil {
			return nil, fmt.Errorf("%s: %w", f.name, err)
		}
		if members[f.name] == nil {
			members[f.name] = json.RawMessage("null")
		}
	}
	return encodeBody(members)
}

// encodeBody writes the body as the caller means it: without the HTML escapes
// that encoding/json adds, and bytes as they are.
func encodeBody(body any) ([]byte, error) {
	switch body := body.(type) {
	case nil:
		return nil, nil
	case []byte:
		return body, nil
	}
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(body); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}

// Do makes a request that has no method of its own here, with the key, retries,
// limits and errors of all others. The path begins with a slash and follows the
// base URL; it may have a query, and its variable parts must be escaped with
// [net/url.PathEscape]. The method is GET, HEAD, POST, PUT, PATCH or DELETE.
//
// The body is nil for none, a []byte or [json.RawMessage] to be sent as it is,
// or anything that encodes to JSON. Wherever it has a [Secret] in a map or list
// that is sent in the clear; one in a struct is refused, for that would be sent
// as it prints.
//
// The answer is stored in what out points to: a []byte or [json.RawMessage] takes
// it as it came, anything else is decoded from JSON; nil ignores it. An empty
// answer leaves out as it is.
//
// GET, HEAD, PUT and DELETE are retried as [RetryPolicy] says of reads, PUT and
// DELETE; POST and PATCH only when the server cannot have acted.
func (c *Client) Do(ctx context.Context, method, path string, body, out any, opts ...CallOption) error {
	r := anyRequest(method, path)
	body, secrets, err := revealed(body)
	if err != nil {
		r = r.refuse("body", "body", err.Error())
	}
	if body != nil && r.reads {
		r = r.refuse("body", "body", "is for a request with a body")
	}
	if !canHold(out) {
		r = r.refuse("out", "out", fmt.Sprintf("is a %T and not a pointer", out))
	}
	a, err := c.do(ctx, r.json(body).hide(secrets...), opts)
	if err != nil || out == nil || len(a.body) == 0 {
		return err
	}
	if raw, ok := out.(*[]byte); ok {
		*raw = a.body
		return nil
	}
	if err := json.Unmarshal(a.body, out); err != nil {
		return c.invalid(a, err)
	}
	return nil
}
