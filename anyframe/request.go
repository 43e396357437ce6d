package anyframe

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
)

// request is one operation before it is sent. It is built in one expression. err
// keeps the first fault; a request with a fault is not sent.
type request struct {
	method  string
	path    string // escaped, begins with /
	query   url.Values
	header  http.Header // from the caller's options
	body    any         // nil means none
	reads   bool        // changes nothing, whatever the method
	secrets []string    // in the body; kept out of errors
	err     *Error
}

func get(pattern string, ids ...any) request   { return newRequest(http.MethodGet, pattern, ids) }
func post(pattern string, ids ...any) request  { return newRequest(http.MethodPost, pattern, ids) }
func put(pattern string, ids ...any) request   { return newRequest(http.MethodPut, pattern, ids) }
func patch(pattern string, ids ...any) request { return newRequest(http.MethodPatch, pattern, ids) }
func remove(pattern string, ids ...any) request {
	return newRequest(http.MethodDelete, pattern, ids)
}

// newRequest replaces the names in braces by ids, each an int64 or a string, in
// order.
func newRequest(method, pattern string, ids []any) request {
	r := request{method: method, path: pattern, reads: method == http.MethodGet}
	for _, id := range ids {
		before, rest, _ := strings.Cut(r.path, "{")
		name, after, _ := strings.Cut(rest, "}")
		segment, fault := segmentOf(id)
		if fault != "" {
			r.path = pattern
			return r.refuse("path", name, fault)
		}
		r.path = before + segment + after
	}
	return r
}

// segmentOf returns an id as one path segment, or what is wrong with it. An empty
// id would address the list, and one with ".." another resource, with the key
// attached.
func segmentOf(id any) (segment, fault string) {
	switch id := id.(type) {
	case int64:
		if id <= 0 {
			return "", "must be above 0"
		}
		return strconv.FormatInt(id, 10), ""
	case string:
		switch {
		case strings.TrimSpace(id) == "":
			return "", "is empty"
		case id == "." || strings.Contains(id, "..") || strings.ContainsFunc(id, notInID):
			return "", "is malformed"
		}
		return escapeSegment(id), ""
	}
	return "", fmt.Sprintf("is a %T", id)
}

// notInID reports whether c cannot occur in an id or slug: it would end a path
// segment or is not printable ASCII.
func notInID(c rune) bool { return c <= ' ' || c >= 0x7f || strings.ContainsRune(`/\?#%`, c) }

// escapeSegment escapes a string as one path segment. It also escapes dots, since a
// segment of dots changes the path. JoinPath is not used because it would resolve
// them.
func escapeSegment(s string) string {
	return strings.ReplaceAll(url.PathEscape(s), ".", "%2E")
}

// refuse records that the argument called name is invalid.
func (r request) refuse(where, name, fault string) request {
	if r.err == nil {
		r.err = argumentError(r.method, r.path, name+" "+fault, nil)
		r.err.Fields = []FieldError{{Loc: []any{where, name}, Msg: fault, Type: "invalid_argument"}}
	}
	return r
}

// require refuses the request if the body's member called name is missing.
func (r request) require(name string, present bool) request {
	if !present {
		return r.refuse("body", name, "is required")
	}
	return r
}

// json sets the body.
func (r request) json(body any) request {
	r.body = body
	return r
}

// ask sets a query parameter.
func (r request) ask(name string, value int64) request {
	if r.query == nil {
		r.query = url.Values{}
	}
	r.query.Set(name, strconv.FormatInt(value, 10))
	return r
}

// hide keeps the body's secrets out of errors, in case the server sends them back.
func (r request) hide(secrets ...string) request {
	r.secrets = append(r.secrets, secrets...)
	return r
}

// reading marks a request that changes nothing although its method could.
func (r request) reading() request {
	r.reads = true
	return r
}

// send makes a call and ignores the content of the response.
func (c *Client) send(ctx context.Context, r request, opts []CallOption) error {
	_, err := c.do(ctx, r, opts)
	return err
}
