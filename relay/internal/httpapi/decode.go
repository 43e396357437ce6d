package httpapi

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

	"github.com/anyframe-relay/relay/relay/internal/problem"
)

const (
	bodyTimeout  = 15 * time.Second
	maxSmallBody = 16 << 10 // bytes of a body that carries no message
	maxJSONDepth = 32
)

// bodyInTime gives a request's body its time, whoever reads it: net/http reads
// what a handler left, before it sends the answer.
func (a *api) bodyInTime(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.ContentLength != 0 {
			if err := setReadDeadline(w, time.Now().Add(bodyTimeout)); err != nil {
				a.refuse(w, r, err)
				return
			}
		}
		if len(r.TransferEncoding) > 0 && r.ProtoMajor == 1 {
			// It may have had a Content-Length too, which net/http takes away, and
			// a proxy that went by it would take what follows for part of the body.
			// So nothing may follow (RFC 9112 section 6.1).
			w.Header().Set("Connection", "close")
		}
		next.ServeHTTP(w, r)
	})
}

// dropBody reads and forgets a body that no handler wants.
func (a *api) dropBody(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.ContentLength != 0 && r.Method != http.MethodPost {
			if err := drop(w, r); err != nil {
				a.refuse(w, r, err)
				return
			}
		}
		next.ServeHTTP(w, r)
	})
}

func drop(w http.ResponseWriter, r *http.Request) error {
	if r.ContentLength > maxSmallBody {
		return problem.TooLarge
	}
	if _, err := io.Copy(io.Discard, http.MaxBytesReader(w, r.Body, maxSmallBody)); err != nil {
		return bodyProblem(w, err)
	}
	return setReadDeadline(w, time.Time{})
}

func setReadDeadline(w http.ResponseWriter, t time.Time) error {
	err := http.NewResponseController(w).SetReadDeadline(t)
	if errors.Is(err, http.ErrNotSupported) {
		return nil
	}
	return err
}

// bodyProblem is what a visitor is told when a body cannot be read.
func bodyProblem(w http.ResponseWriter, err error) error {
	if _, tooLarge := errors.AsType[*http.MaxBytesError](err); tooLarge {
		return problem.TooLarge
	}
	if errors.Is(err, os.ErrDeadlineExceeded) {
		w.Header().Set("Connection", "close")
		return problem.RequestTimeout
	}
	return problem.BadRequest.With("The request body is incomplete.")
}

// holder counts the memory that a body takes as it arrives, and refuses when there is no
// more.
type holder interface{ Hold(n int) error }

// uncounted is the holder of bodies that are always small.
type uncounted struct{}

func (uncounted) Hold(int) error { return nil }

// readBody returns the body of a JSON request of at most limit bytes. It takes memory for
// what has arrived, whatever length the client announced.
func readBody(w http.ResponseWriter, r *http.Request, limit int64, room holder) ([]byte, error) {
	kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || kind != "application/json" || r.Header.Get("Content-Encoding") != "" {
		return nil, problem.MediaType
	}
	if r.ContentLength > limit {
		return nil, problem.TooLarge
	}
	most := limit
	if r.ContentLength >= 0 {
		most = r.ContentLength
	}
	body, err := readHeld(http.MaxBytesReader(w, r.Body, limit), int(most), room)
	if p, refused := errors.AsType[*problem.Problem](err); refused {
		return nil, p
	}
	if err != nil {
		return nil, bodyProblem(w, err)
	}
	return body, setReadDeadline(w, time.Time{})
}

// firstRead is how many bytes of memory a body takes before any of it has arrived.
const firstRead = 4 << 10

// readHeld reads r, which has at most most bytes, to its end. Its buffer at most doubles
// whenever it is full, and room holds it.
func readHeld(r io.Reader, most int, room holder) ([]byte, error) {
	size := min(firstRead, most)
	buf := make([]byte, 0, size+1) // one more, in which the end is found
	for {
		if len(buf) > most {
			return nil, problem.TooLarge
		}
		if len(buf) > size {
			size = min(2*size, most)
			if err := room.Hold(size); err != nil {
				return nil, err
			}
			buf = append(make([]byte, 0, size+1), buf...)
		}
		n, err := r.Read(buf[len(buf):cap(buf)])
		buf = buf[:len(buf)+n]
		if errors.Is(err, io.EOF) {
			return buf, nil
		}
		if err != nil {
			return nil, err
		}
	}
}

// fields are the members that an object may have, each with where it goes.
type fields map[string]any

// decodeObject reads a JSON object strictly: known members only, by their exact
// names, each once, and nothing after the object. The prefix names the object
// in what a visitor is told.
func decodeObject(data []byte, prefix string, into fields) error {
	if !utf8.Valid(data) || tooDeep(data) {
		return problem.BadJSON
	}
	dec := json.NewDecoder(bytes.NewReader(data))
	switch t, err := dec.Token(); {
	case err != nil, t != json.Delim('{') && prefix == "":
		return problem.BadJSON
	case t != json.Delim('{'):
		return problem.BadRequest.With("%s is not an object.", quoteName(strings.TrimSuffix(prefix, ".")))
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
			return problem.BadRequest.With("%s is not a known member.", quoteName(prefix+key))
		case seen[key]:
			return problem.BadRequest.With("%s occurs twice.", quoteName(prefix+key))
		}
		seen[key] = true
		if err := dec.Decode(target); err != nil {
			if _, wrongType := errors.AsType[*json.UnmarshalTypeError](err); wrongType {
				return problem.BadRequest.With("%s has the wrong type.", quoteName(prefix+key))
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
