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

// CallOption changes one call. If a method makes several requests, as
// [SessionsService.Turn] and the waits do, headers, query and limits apply to each
// of them, and body fields to those with a body.
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

// optionFault is an error in an option.
type optionFault struct{ where, name, fault string }

func (o *callOptions) refuse(where, name, fault string) {
	if o.fault == nil {
		o.fault = &optionFault{where, name, fault}
	}
}

// CallTimeout bounds each attempt of this call, and the opening of a stream. 0
// means the value of [WithTimeout], negative no limit.
func CallTimeout(d time.Duration) CallOption {
	return func(o *callOptions) {
		if d != 0 {
			o.timeout = max(d, 0)
		}
	}
}

// CallRetries sets how often each request of this call may be retried. 0 means the
// value of [WithRetry], negative never. StreamOptions.MaxStalls limits how often a
// stream reconnects.
func CallRetries(n int) CallOption {
	return func(o *callOptions) {
		if n != 0 {
			o.retries = max(n, 0)
		}
	}
}

// CallHeader sets a header of the request, such as an Idempotency-Key, in place of
// the client's own value. Headers that the client needs, such as Authorization, are
// refused; on a stream these include Accept, Accept-Encoding and Last-Event-ID.
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

// ownHeaders are the headers that no option changes: the key and the framing.
var ownHeaders = []string{
	"Authorization", "Connection", "Content-Length", "Host", "Keep-Alive", "Proxy-Authorization", "Te", "Trailer", "Transfer-Encoding", "Upgrade",
}

// isToken reports whether s is a valid header name (RFC 9110, 5.6.2).
func isToken(s string) bool {
	return s != "" && !strings.ContainsFunc(s, func(c rune) bool {
		return c <= ' ' || c >= 0x7f || strings.ContainsRune(`"(),/:;<=>?@[\]{}`, c)
	})
}

// CallQuery adds a query parameter, in place of the method's own value for that
// name. Two options with one name send both values.
func CallQuery(name, value string) CallOption {
	return func(o *callOptions) {
		if o.query == nil {
			o.query = url.Values{}
		}
		o.query.Add(name, value)
	}
}

// CallBodyField sets a member of the request's JSON object, such as one that this
// client does not support, in place of the method's own value. It adds a body if
// there is none. It is refused for requests that cannot have a body, such as a GET,
// and for bodies that are not objects. A [Secret] is sent as its value and kept out
// of errors.
func CallBodyField(name string, value any) CallOption {
	return func(o *callOptions) { o.fields = append(o.fields, bodyField{name, value}) }
}

// CaptureResponse fills dst when the call ends, whether it succeeded or not; for a
// stream, each time the server responds. Without any response only Attempts is set.
// If a call makes several requests, the last one counts.
func CaptureResponse(dst *ResponseInfo) CallOption {
	return func(o *callOptions) { o.capture = dst }
}

// ResponseInfo describes the response of a call.
type ResponseInfo struct {
	StatusCode int
	Header     http.Header
	RequestID  string // X-Request-Id
	Attempts   int    // requests made
	Body       []byte // as received, including the token if it is a new one; after an error that of the Error; nil for a stream
}

func (i *ResponseInfo) fill(status int, h http.Header, attempts int, body []byte) {
	if i != nil {
		*i = ResponseInfo{StatusCode: status, Header: h, RequestID: requestID(h), Attempts: attempts, Body: body}
	}
}

// bodyless marks a request without a body that is one of several of a call.
func bodyless(o *callOptions) { o.noBody = true }

// also returns a copy of opts with one more option.
func also(opts []CallOption, opt CallOption) []CallOption {
	return append(slices.Clip(opts), opt)
}

// prepare applies the options to the request. It refuses the request if either is
// invalid.
func (c *Client) prepare(r request, opts []CallOption) (request, callOptions) {
	o := callOptions{timeout: c.timeout, retries: c.retry.MaxRetries}
	for _, opt := range opts {
		opt(&o)
	}
	o.capture.fill(0, nil, 0, nil) // a call that sends nothing leaves nothing of an earlier one
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

// content returns the body to send; nil means none.
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

// encodeBody encodes the body without the HTML escapes that encoding/json adds;
// bytes and JSON are left unchanged.
func encodeBody(body any) ([]byte, error) {
	switch body := body.(type) {
	case nil:
		return nil, nil
	case []byte:
		return body, nil
	case json.RawMessage:
		if json.Valid(body) { // the encoder would change its white space
			return body, nil
		}
	}
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(body); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}

// Do makes a request that this package has no method for, with the same key,
// retries, limits and errors as the methods. The path begins with a slash and
// follows the base URL. It may have a query. Escape its variable parts with
// [net/url.PathEscape]. The method is GET, HEAD, POST, PUT, PATCH or DELETE.
//
// The body is nil for none, a []byte or [json.RawMessage] to be sent unchanged, or
// any value that encodes to JSON. A [Secret] in maps and lists, of any type, is sent
// as its value. A Secret in a struct is refused, because it would be sent masked.
//
// Do stores the response in the value that out points to. A []byte receives any
// bytes, and a [json.RawMessage] JSON, both unchanged. Any other value is decoded
// from JSON, and nil ignores the response. An empty response leaves out unchanged.
//
// Do retries GET and HEAD as reads, and PUT and DELETE, as described for
// [RetryPolicy]. It retries POST and PATCH only if the server cannot have acted.
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
	switch raw := out.(type) {
	case *[]byte:
		*raw = a.body
		return nil
	case *json.RawMessage:
		if json.Valid(a.body) {
			*raw = a.body
			return nil
		}
	}
	if len(a.value()) == 0 {
		return nil
	}
	if err := json.Unmarshal(a.body, out); err != nil {
		return c.invalid(a, err)
	}
	return nil
}
