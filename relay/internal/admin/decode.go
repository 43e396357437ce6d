package admin

import (
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"
	"time"

	"github.com/anyframe-relay/relay/relay/internal/problem"
)

const (
	maxBody     = 16 << 10
	bodyTimeout = 15 * time.Second
)

// decode decodes a JSON object that has only known members. Without a body, it does not
// change into.
func decode(w http.ResponseWriter, r *http.Request, into any) error {
	if r.ContentLength == 0 {
		return nil
	}
	kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || kind != "application/json" {
		return problem.MediaType
	}
	_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(bodyTimeout)) // if not supported, the caller bounds the read
	dec := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxBody))
	dec.DisallowUnknownFields()
	if err := dec.Decode(into); err != nil {
		if _, large := errors.AsType[*http.MaxBytesError](err); large {
			return problem.TooLarge
		}
		if _, wrong := errors.AsType[*json.SyntaxError](err); wrong || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF) {
			return problem.BadJSON
		}
		return problem.BadRequest.With("The body has an unknown member, or a member of the wrong type.")
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return problem.BadJSON
	}
	return nil
}

// answer writes a JSON document with status 200.
func answer(w http.ResponseWriter, v any) error {
	body, err := json.Marshal(v)
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	_, _ = w.Write(append(body, '\n')) // the client has disconnected: the error has no receiver
	return nil
}
