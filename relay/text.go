package relay

import (
	"bytes"
	"cmp"
	"encoding/json"

	"github.com/anyframe-relay/relay/relay/internal/event"
	"github.com/anyframe-relay/relay/relay/internal/upstream"
)

func attachmentsOf(m upstream.Object) []event.Attachment {
	var rows []upstream.Object
	if json.Unmarshal(m["attachments"], &rows) != nil {
		return []event.Attachment{}
	}
	out := make([]event.Attachment, 0, len(rows))
	for _, r := range rows {
		out = append(out, event.Attachment{Name: r.Str("name"), MIME: cmp.Or(r.Str("mime"), r.Str("mime_type"))})
	}
	return out
}

// compactJSON returns raw on one line, nil when it is not JSON.
func compactJSON(raw json.RawMessage) json.RawMessage {
	var b bytes.Buffer
	if json.Compact(&b, raw) != nil {
		return nil
	}
	return b.Bytes()
}

func orEmpty[T any](s []T) []T {
	if s == nil {
		return []T{}
	}
	return s
}
