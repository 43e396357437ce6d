// Package body reads the bodies of JSON requests. It uses only as much memory as has
// arrived, up to a limit. Its errors are problems for the visitor.
package body

import (
	"errors"
	"io"
	"mime"
	"net/http"
	"os"
	"time"

	"github.com/anyframe-relay/relay/relay/internal/problem"
)

// SetDeadline sets the time by which the request's body must have been read; zero is
// never.
func SetDeadline(w http.ResponseWriter, t time.Time) error {
	err := http.NewResponseController(w).SetReadDeadline(t)
	if errors.Is(err, http.ErrNotSupported) {
		return nil
	}
	return err
}

// Problem returns the problem for a body that could not be read.
func Problem(w http.ResponseWriter, err error) error {
	if _, tooLarge := errors.AsType[*http.MaxBytesError](err); tooLarge {
		return problem.TooLarge
	}
	if errors.Is(err, os.ErrDeadlineExceeded) {
		w.Header().Set("Connection", "close")
		return problem.RequestTimeout
	}
	return problem.BadRequest.With("The request body is incomplete.")
}

// Holder counts the memory of a body as it arrives, and refuses when there is no more.
type Holder interface{ Hold(n int) error }

// Uncounted is the Holder of bodies that are always small.
type Uncounted struct{}

// Hold implements [Holder].
func (Uncounted) Hold(int) error { return nil }

// Read returns the body of a JSON request of at most limit bytes. It allocates memory for
// what has arrived, whatever length the client announced.
func Read(w http.ResponseWriter, r *http.Request, limit int64, room Holder) ([]byte, error) {
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
		return nil, Problem(w, err)
	}
	return body, SetDeadline(w, time.Time{})
}

// firstRead is how many bytes are allocated before any of the body has arrived.
const firstRead = 4 << 10

// readHeld reads r, which has at most most bytes, to its end. Whenever its buffer is
// full, it at most doubles. Room counts the buffer.
func readHeld(r io.Reader, most int, room Holder) ([]byte, error) {
	size := min(firstRead, most)
	buf := make([]byte, 0, size+1) // one more byte, to detect the end
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
