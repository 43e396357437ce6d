// Package message parses a visitor's message, which is one turn: text, attachments and
// the page's context. It checks them against the operator's limits. It does not depend on
// requests, visitors or sessions; package body reads the bytes, package session sends the
// turn.
package message

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"

	"github.com/anyframe-relay/relay/anyframe"
	"github.com/anyframe-relay/relay/relay/internal/event"
	"github.com/anyframe-relay/relay/relay/internal/problem"
	"github.com/anyframe-relay/relay/relay/internal/strictjson"
	"github.com/anyframe-relay/relay/relay/internal/visitorctx"
)

// Limits are the limits of a message.
type Limits struct {
	MaxMessage      int      // in bytes of text
	MaxAttachment   int      // in bytes
	MaxAttachments  int      // number of attachments; 0 accepts none
	AttachmentTypes []string // media types in lower case; text/* stands for all text types

	Context    bool // the context of page and website is sent to the agent
	MaxContext int  // in bytes, of each; 0 accepts none
}

// Message is one turn as a visitor wrote it, validated.
type Message struct {
	Text        string
	Attachments []anyframe.Attachment
	Context     visitorctx.Object // of the page; none if it was not sent or is not used
}

// Hash distinguishes a repeated message from a different one under the same key. It does
// not include the context: the first request's counts.
func (m Message) Hash() string {
	h := sha256.New()
	_ = json.NewEncoder(h).Encode(m.Text) // writes to a hash never fail
	_ = json.NewEncoder(h).Encode(m.Attachments)
	return hex.EncodeToString(h.Sum(nil))
}

// Names returns the attachments as other tabs show them.
func (m Message) Names() []event.Attachment {
	var out []event.Attachment
	for _, a := range m.Attachments {
		out = append(out, event.Attachment{Name: a.Name, MIME: a.MIME})
	}
	return out
}

// overhead is the maximum size in bytes of a body without text, context and attachments.
const overhead = 16 << 10

// MaxBody returns the maximum size in bytes of the body of a message within the limits:
// any byte of the text may be written as \u00xx, and attachments are base64.
func (l *Limits) MaxBody() int64 {
	return overhead + 6*int64(l.MaxMessage) + 6*int64(l.MaxContext) + int64(l.MaxAttachments)*(int64(l.MaxAttachment)*4/3+4096)
}

// Decode parses and validates the body of a message. Its errors are [problem.Problem]s.
func (l *Limits) Decode(body []byte) (Message, error) {
	var m Message
	attached := elements{most: l.MaxAttachments + 1}
	var page json.RawMessage
	if err := strictjson.Decode(body, "", strictjson.Fields{"text": &m.Text, "attachments": &attached, "context": &page}); err != nil {
		return m, err
	}
	rows := attached.first
	switch {
	case len(m.Text) > l.MaxMessage:
		return m, problem.TooLarge.With("The message is longer than %d bytes.", l.MaxMessage)
	case strings.ContainsRune(m.Text, 0):
		return m, problem.BadRequest.With(`"text" contains a NUL character.`)
	case strings.TrimSpace(m.Text) == "" && len(rows) == 0:
		return m, problem.EmptyMessage
	case len(rows) > l.MaxAttachments:
		return m, problem.TooMany.With("At most %d attachments are accepted.", l.MaxAttachments)
	}
	for i, row := range rows {
		a, err := l.decodeAttachment(row, fmt.Sprintf("attachments[%d].", i))
		if err != nil {
			return m, err
		}
		m.Attachments = append(m.Attachments, a)
	}
	if page != nil {
		if err := l.decodeContext(page, &m.Context); err != nil {
			return m, err
		}
	}
	return m, nil
}

// elements are the first elements of a JSON array. A body within its limit has room for
// millions of elements, and each that is decoded takes memory in addition.
type elements struct {
	most  int
	first []json.RawMessage
}

// UnmarshalJSON implements [json.Unmarshaler].
func (e *elements) UnmarshalJSON(data []byte) error {
	dec := json.NewDecoder(bytes.NewReader(data))
	switch t, err := dec.Token(); {
	case err != nil || t == nil: // t is nil for null
		return err
	case t != json.Delim('['):
		return &json.UnmarshalTypeError{Value: "a value that is not an array", Type: reflect.TypeOf(e.first)}
	}
	for dec.More() && len(e.first) < e.most {
		var row json.RawMessage
		if err := dec.Decode(&row); err != nil {
			return err
		}
		e.first = append(e.first, row)
	}
	return nil
}

// decodeContext validates the page's context, and keeps it if it is to be sent to
// AnyFrame.
func (l *Limits) decodeContext(page json.RawMessage, into *visitorctx.Object) error {
	if l.MaxContext == 0 {
		return problem.BadRequest.With(`"context" is not accepted by this chat.`)
	}
	got, err := visitorctx.Parse(page, l.MaxContext)
	if e, wrong := errors.AsType[*visitorctx.Error](err); wrong {
		name := "context"
		if e.Member != "" {
			name += "." + e.Member
		}
		return problem.BadRequest.With("%s %s.", strictjson.Quote(name), e.Reason)
	}
	if l.Context {
		*into = got
	}
	return err
}
