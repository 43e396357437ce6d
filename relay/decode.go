package relay

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"
	"os"
	"strings"
	"time"
	"unicode/utf8"
)

const (
	bodyTimeout  = 15 * time.Second
	maxSmallBody = 16 << 10 // bytes of a body that carries no message
	maxJSONDepth = 32
)

// readBody returns the body of a JSON request of at most limit bytes.
func readBody(w http.ResponseWriter, r *http.Request, limit int64) ([]byte, error) {
	kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || kind != "application/json" || r.Header.Get("Content-Encoding") != "" {
		return nil, errMediaType
	}
	if r.ContentLength > limit {
		return nil, errTooLarge
	}
	rc := http.NewResponseController(w)
	if err := rc.SetReadDeadline(time.Now().Add(bodyTimeout)); err != nil && !errors.Is(err, http.ErrNotSupported) {
		return nil, err
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, limit))
	if err != nil {
		if _, tooLarge := errors.AsType[*http.MaxBytesError](err); tooLarge {
			return nil, errTooLarge
		}
		if errors.Is(err, os.ErrDeadlineExceeded) {
			w.Header().Set("Connection", "close")
			return nil, errRequestTimeout
		}
		return nil, errBadRequest.with("The body did not arrive whole.")
	}
	if err := rc.SetReadDeadline(time.Time{}); err != nil && !errors.Is(err, http.ErrNotSupported) {
		return nil, err
	}
	return body, nil
}

// fields are the members that an object may have, each with where it goes.
type fields map[string]any

// decodeObject reads a JSON object strictly: known members only, by their exact
// names, each once, and nothing after the object. The prefix names the object
// in what a visitor is told.
func decodeObject(data []byte, prefix string, into fields) error {
	if !utf8.Valid(data) || tooDeep(data) {
		return errBadJSON
	}
	dec := json.NewDecoder(bytes.NewReader(data))
	if t, err := dec.Token(); err != nil || t != json.Delim('{') {
		return errBadJSON
	}
	seen := map[string]bool{}
	for dec.More() {
		t, err := dec.Token()
		if err != nil {
			return errBadJSON
		}
		key, _ := t.(string)
		target, known := into[key]
		switch {
		case !known:
			return errBadRequest.with("%s is not known here.", quoteName(prefix+key))
		case seen[key]:
			return errBadRequest.with("%s is there twice.", quoteName(prefix+key))
		}
		seen[key] = true
		if err := dec.Decode(target); err != nil {
			if _, wrongType := errors.AsType[*json.UnmarshalTypeError](err); wrongType {
				return errBadRequest.with("%s has the wrong type.", quoteName(prefix+key))
			}
			return errBadJSON
		}
	}
	if _, err := dec.Token(); err != nil {
		return errBadJSON
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return errBadJSON
	}
	return nil
}

// quoteName makes a visitor's own words fit to be told back: short, printable.
func quoteName(name string) string {
	name = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r == utf8.RuneError {
			return -1
		}
		return r
	}, name)
	if r := []rune(name); len(r) > 64 {
		name = string(r[:64]) + "…"
	}
	return `"` + name + `"`
}

// tooDeep reports JSON nested deeper than anything here needs, before a decoder
// spends its stack on it.
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
