package anyframe

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
)

// request is one operation before it is made. It is built in one expression;
// the first thing wrong with it is kept in err, and then nothing is sent.
type request struct {
	method  string
	path    string // escaped, begins with /
	query   url.Values
	header  http.Header // from the caller's options
	body    any         // nil sends none
	reads   bool        // changes nothing, whatever the method says
	secrets []string    // in the body, to be kept out of errors
	err     *Error
}

func get(pattern string, ids ...any) request   { return newRequest(http.MethodGet, pattern, ids) }
func post(pattern string, ids ...any) request  { return newRequest(http.MethodPost, pattern, ids) }
func put(pattern string, ids ...any) request   { return newRequest(http.MethodPut, pattern, ids) }
func patch(pattern string, ids ...any) request { return newRequest(http.MethodPatch, pattern, ids) }
func remove(pattern string, ids ...any) request {
	return newRequest(http.MethodDelete, pattern, ids)
}

// newRequest puts ids, each an int64 or a string, in the place of the names in
// braces, in order.
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

// segmentOf returns an id as one path segment, or what is wrong with it. An
// empty one would address the list, and one that climbs another resource, with
// the key attached.
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

// notInID reports what no id or slug has: what would end a path segment or is
// not printable ASCII.
func notInID(c rune) bool { return c <= ' ' || c >= 0x7f || strings.ContainsRune(`/\?#%`, c) }

// escapeSegment makes a string one path segment. Dots are escaped too, since a
// segment of dots is no segment; and not by JoinPath, which would resolve it.
func escapeSegment(s string) string {
	return strings.ReplaceAll(url.PathEscape(s), ".", "%2E")
}

// refuse notes a fault of the argument that is called name.
func (r request) refuse(where, name, fault string) request {
	if r.err == nil {
		r.err = argumentError(r.method, r.path, name+" "+fault, nil)
		r.err.Fields = []FieldError{{Loc: []any{where, name}, Msg: fault, Type: "invalid_argument"}}
	}
	return r
}

// require refuses the request when the body's member called name is missing.
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

// ask sets a member of the query.
func (r request) ask(name string, value int64) request {
	if r.query == nil {
		r.query = url.Values{}
	}
	r.query.Set(name, strconv.FormatInt(value, 10))
	return r
}

// hide keeps what is in the body out of any error, should the server send it
// back in one.
func (r request) hide(secrets ...string) request {
	r.secrets = append(r.secrets, secrets...)
	return r
}

// reading marks a request that changes nothing though its method could.
func (r request) reading() request {
	r.reads = true
	return r
}

// send makes a call whose answer holds nothing; what it says is not read.
func (c *Client) send(ctx context.Context, r request, opts []CallOption) error {
	_, err := c.do(ctx, r, opts)
	return err
}
