package anyframetest

import (
	"encoding/json"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// A form is the JSON object of a request while it is decoded. Its methods collect
// the errors of the fields into one response. A null field counts as omitted.
type form struct {
	values map[string]json.RawMessage
	loc    []any
	issues *[]issue
	broken bool // not an object; no field counts as missing then
}

// form decodes the body.
func (c *call) form() *form {
	f := &form{loc: []any{"body"}, issues: new([]issue)}
	if problems := c.decode(&f.values); problems != nil {
		*f.issues, f.broken = problems, true
	}
	return f
}

// bad reports whether there were errors so far.
func (f *form) bad() bool { return len(*f.issues) > 0 }

func (f *form) refusal() answer { return invalid(*f.issues...) }

func (f *form) complain(msg, kind string, loc ...any) {
	*f.issues = append(*f.issues, issue{slices.Concat(f.loc, loc), msg, kind})
}

// has reports whether the field is present.
func (f *form) has(name string) bool {
	raw, found := f.values[name]
	return found && string(raw) != "null"
}

// require records an error for each missing field.
func (f *form) require(names ...string) {
	for _, name := range names {
		if _, found := f.values[name]; !found && !f.broken {
			f.complain("Field required", "missing", name)
		} else if !f.broken && !f.has(name) {
			f.complain("Input should not be null", "none_required", name)
		}
	}
}

// read decodes a field that is present into v, a pointer, or records that it is not
// a what.
func (f *form) read(name, what, kind string, v any) bool {
	if !f.has(name) {
		return false
	}
	if err := json.Unmarshal(f.values[name], v); err != nil {
		f.complain("Input should be a valid "+what, kind, name)
		return false
	}
	return true
}

// text returns a string; nil if it is omitted.
func (f *form) text(name string) *string {
	var v string
	if !f.read(name, "string", "string_type", &v) {
		return nil
	}
	return &v
}

// word returns a string that is required and must not be empty.
func (f *form) word(name string) string {
	f.require(name)
	v := f.text(name)
	if v == nil {
		return ""
	}
	if *v == "" {
		f.complain("String should have at least 1 character", "string_too_short", name)
	}
	return *v
}

// choice returns a string that is one of a set; "" if it is omitted.
func (f *form) choice(name string, of ...string) string {
	v := f.text(name)
	if v == nil {
		return ""
	}
	if !slices.Contains(of, *v) {
		f.complain("Input should be '"+strings.Join(of, "', '")+"'", "enum", name)
	}
	return *v
}

// flag returns a boolean; otherwise if it is omitted.
func (f *form) flag(name string, otherwise bool) bool {
	v := otherwise
	f.read(name, "boolean", "bool_type", &v)
	return v
}

// object returns a JSON object unchanged; nil if it is omitted.
func (f *form) object(name string) json.RawMessage {
	var v map[string]json.RawMessage
	if !f.read(name, "dictionary", "dict_type", &v) {
		return nil
	}
	return f.values[name]
}

// port returns a port; 0 if it is omitted.
func (f *form) port(name string) int {
	v := 0
	if f.read(name, "integer", "int_type", &v) {
		f.checkPort(v, name)
	}
	return v
}

func (f *form) checkPort(v int, loc ...any) {
	if v < 1 || v > 65535 {
		f.complain("Input should be between 1 and 65535", "port_range", loc...)
	}
}

// address returns the URL of an MCP server.
func (f *form) address(name string) string {
	v := f.word(name)
	if v != "" && hostOf(v) == "" {
		f.complain("Input should be a valid URL", "url_parsing", name)
	}
	return v
}

// number parses an integer of the query, or returns an error.
func (c *call) number(name string, otherwise int64) (int64, *issue) {
	text := c.Query.Get(name)
	if text == "" {
		return otherwise, nil
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return 0, &issue{[]any{"query", name}, "Input should be a valid integer", "int_parsing"}
	}
	return n, nil
}

// pathID parses the n-th id of the path, called name.
func (c *call) pathID(n int, name string) (int64, *issue) {
	id, err := strconv.ParseInt(c.ids[n], 10, 64)
	if err != nil {
		return 0, &issue{[]any{"path", name}, "Input should be a valid integer", "int_parsing"}
	}
	return id, nil
}

// numbered is an object with an integer id.
type numbered interface{ number() int64 }

// find returns the element with the n-th id of the path, and its index, or an
// error. what is its name in the singular, lower case.
func find[T numbered](c *call, n int, what string, all []T) (at int, found T, refusal answer) {
	id, wrong := c.pathID(n, strings.ReplaceAll(strings.ToLower(what), " ", "_")+"_id")
	if wrong != nil {
		return -1, found, invalid(*wrong)
	}
	at = slices.IndexFunc(all, func(e T) bool { return e.number() == id })
	if at < 0 {
		return -1, found, refuse(http.StatusNotFound, what+" not found")
	}
	return at, all[at], answer{}
}

// answerList responds with the views of all.
func answerList[T any](all []T, view func(T) any) answer {
	views := make([]any, 0, len(all))
	for _, e := range all {
		views = append(views, view(e))
	}
	return success(http.StatusOK, encode(views))
}

// stampOrNull returns t in the API's format, or nil for the zero time.
func stampOrNull(t time.Time) *string {
	if t.IsZero() {
		return nil
	}
	return new(stamp(t))
}

// lastFour returns the end of a secret, the only part that is ever shown.
func lastFour(secret string) string {
	runes := []rune(secret)
	return string(runes[max(0, len(runes)-4):])
}
