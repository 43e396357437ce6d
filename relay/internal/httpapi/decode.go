package httpapi

import (
	"io"
	"net/http"
	"time"

	"github.com/anyframe-relay/relay/relay/internal/body"
	"github.com/anyframe-relay/relay/relay/internal/problem"
)

const (
	bodyTimeout  = 15 * time.Second
	maxSmallBody = 16 << 10 // maximum size in bytes of a body without a message
)

// bodyInTime sets the deadline of a request's body. The deadline also applies to
// net/http, which reads what a handler left unread before it sends the answer.
func (a *api) bodyInTime(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.ContentLength != 0 {
			if err := body.SetDeadline(w, time.Now().Add(bodyTimeout)); err != nil {
				a.refuse(w, r, err)
				return
			}
		}
		if len(r.TransferEncoding) > 0 && r.ProtoMajor == 1 {
			// The request may also have had a Content-Length, which net/http removes. A
			// proxy that used it would take what follows for part of the body, so nothing
			// may follow (RFC 9112 section 6.1).
			w.Header().Set("Connection", "close")
		}
		next.ServeHTTP(w, r)
	})
}

// dropBody reads and discards a body that no handler reads.
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
		return body.Problem(w, err)
	}
	return body.SetDeadline(w, time.Time{})
}
