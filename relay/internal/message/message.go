// Package message reads what a visitor sends as one turn: text, attachments and the
// page's context, and checks them against the operator's limits. It knows nothing of
// requests, visitors and sessions; package body reads the bytes, package session sends
// the turn.
package message

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/anyframe-relay/relay/anyframe"
	"github.com/anyframe-relay/relay/relay/internal/event"
	"github.com/anyframe-relay/relay/relay/internal/problem"
	"github.com/anyframe-relay/relay/relay/internal/strictjson"
	"github.com/anyframe-relay/relay/relay/internal/visitorctx"
)

// Limits are what a message may have.
type Limits struct {
	MaxMessage      int      // bytes of the text
	MaxAttachment   int      // bytes of one attachment
	MaxAttachments  int      // how many; 0 takes none
	AttachmentTypes []string // media types in lower case; text/* stands for all of text

	Context    bool // the agent is told the context of page and website
	MaxContext int  // bytes of either; 0 takes none
}

// Message is one turn as a visitor wrote it, checked.
type Message struct {
	Text        string
	Attachments []anyframe.Attachment
	Context     visitorctx.Object // of the page; none if it was not sent or is not wanted
}

// Hash tells a repeated message from another under the same key. The context is no part
// of it: that which came first counts.
func (m Message) Hash() string {
	h := sha256.New()
	_ = json.NewEncoder(h).Encode(m.Text) // a hash takes everything
	_ = json.NewEncoder(h).Encode(m.Attachments)
	return hex.EncodeToString(h.Sum(nil))
}

// Names are the attachments as other tabs are told of them.
func (m Message) Names() []event.Attachment {
	var out []event.Attachment
	for _, a := range m.Attachments {
		out = append(out, event.Attachment{Name: a.Name, MIME: a.MIME})
	}
	return out
}

// overhead is how many bytes of a body are neither text, context nor attachment, at most.
const overhead = 16 << 10

// MaxBody is how large the body of a message can be that breaks no limit:
// any byte of the text may be written as \u00xx, attachments are base64.
func (l *Limits) MaxBody() int64 {
	return overhead + 6*int64(l.MaxMessage) + 6*int64(l.MaxContext) + int64(l.MaxAttachments)*(int64(l.MaxAttachment)*4/3+4096)
}

// Decode reads and checks the body of a message. Its errors are [problem.Problem]s.
func (l *Limits) Decode(body []byte) (Message, error) {
	var m Message
	var rows []json.RawMessage
	var page json.RawMessage
	if err := strictjson.Decode(body, "", strictjson.Fields{"text": &m.Text, "attachments": &rows, "context": &page}); err != nil {
		return m, err
	}
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

// decodeContext checks the page's context, and takes it if AnyFrame is to have it.
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
