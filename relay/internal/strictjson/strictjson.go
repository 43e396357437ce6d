// Package strictjson decodes the JSON objects that clients send. It accepts known members
// only, each once, and limited nesting. Its errors are problems that name the member. It
// does not depend on HTTP or on the meaning of the members.
package strictjson

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"strings"
	"unicode/utf8"

	"github.com/anyframe-relay/relay/relay/internal/problem"
)

const maxJSONDepth = 32

// Fields are the members that an object may have, each with the pointer to decode it
// into.
type Fields map[string]any

// Decode decodes a JSON object strictly: known members only, by their exact names, each
// once, and nothing after the object. The prefix names the object in the problem's text.
func Decode(data []byte, prefix string, into Fields) error {
	if !utf8.Valid(data) || tooDeep(data) {
		return problem.BadJSON
	}
	dec := json.NewDecoder(bytes.NewReader(data))
	switch t, err := dec.Token(); {
	case err != nil, t != json.Delim('{') && prefix == "":
		return problem.BadJSON
	case t != json.Delim('{'):
		return problem.BadRequest.With("%s is not an object.", Quote(strings.TrimSuffix(prefix, ".")))
	}
	seen := map[string]bool{}
	for dec.More() {
		t, err := dec.Token()
		if err != nil {
			return problem.BadJSON
		}
		key, _ := t.(string)
		target, known := into[key]
		switch {
		case !known:
			return problem.BadRequest.With("%s is not a known member.", Quote(prefix+key))
		case seen[key]:
			return problem.BadRequest.With("%s occurs twice.", Quote(prefix+key))
		}
		seen[key] = true
		if err := dec.Decode(target); err != nil {
			if _, wrongType := errors.AsType[*json.UnmarshalTypeError](err); wrongType {
				return problem.BadRequest.With("%s has the wrong type.", Quote(prefix+key))
			}
			return problem.BadJSON
		}
	}
	if _, err := dec.Token(); err != nil {
		return problem.BadJSON
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return problem.BadJSON
	}
	return nil
}

// Quote makes a client's text safe to repeat in a problem: short and printable.
func Quote(name string) string {
	const enough = 1 << 10 // a name may be as long as the body
	name = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r == utf8.RuneError {
			return -1
		}
		return r
	}, name[:min(len(name), enough)])
	if r := []rune(name); len(r) > 64 {
		name = string(r[:64]) + "…"
	}
	return `"` + name + `"`
}

// tooDeep reports whether JSON is nested deeper than any request needs, before a decoder
// uses its stack for it.
func tooDeep(data []byte) bool {
	depth, inString := 0, false
	for i := 0; i < len(data); i++ {
		switch c := data[i]; {
		case inString && c == '\\':
			i++
		case c == '"':
			inString = !inString
		case inString:
		case c == '{' || c == '[':
			if depth++; depth > maxJSONDepth {
				return true
			}
		case c == '}' || c == ']':
			depth--
		}
	}
	return false
}
