package relay

import (
	"bytes"
	"encoding/json"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/anyframe-relay/relay/relay/internal/eventlog"
)

// maxEventIDBytes bounds what is taken for a last event id.
const maxEventIDBytes = 64

// eventID is the id of an event on our streams.
type eventID struct{ epoch, seq int64 }

func (id eventID) String() string {
	return strconv.FormatInt(id.epoch, 10) + "-" + strconv.FormatInt(id.seq, 10)
}

// parseEventID reads what [eventID.String] writes and nothing else.
func parseEventID(s string) (eventID, bool) {
	if len(s) > maxEventIDBytes {
		return eventID{}, false
	}
	epoch, seq, ok := strings.Cut(s, "-")
	if !ok {
		return eventID{}, false
	}
	e, err1 := strconv.ParseInt(epoch, 10, 64)
	n, err2 := strconv.ParseInt(seq, 10, 64)
	id := eventID{e, n}
	if err1 != nil || err2 != nil || e < 1 || n < 1 || id.String() != s {
		return eventID{}, false
	}
	return id, true
}

// item is one event as a visitor may see it. Its seq is 0 when it has no id.
type item struct {
	kind string
	data any // nil for a delta
	// delta is a piece of the agent's text. Streams consist of these, so nothing
	// is allocated for it; see payload.
	delta string
	seq   int64
}

// payload is the data that the item tells.
func (it item) payload() any {
	if it.data == nil {
		return textData{it.delta, true}
	}
	return it.data
}

// entry frames an item: the id line only where AnyFrame numbered the event,
// then its kind, then its data as one line of JSON.
func (it item) entry(epoch int64) eventlog.Entry {
	id := eventID{epoch, it.seq}
	if it.data == nil {
		return eventlog.Entry{Seq: it.seq, Frame: textFrame(id, textData{it.delta, true})}
	}
	if text, ok := it.data.(textData); ok {
		return eventlog.Entry{Seq: it.seq, Frame: textFrame(id, text)}
	}
	var b bytes.Buffer
	if it.seq != 0 {
		b.WriteString("id: ")
		b.WriteString(id.String())
		b.WriteByte('\n')
	}
	b.WriteString("event: ")
	b.WriteString(it.kind)
	b.WriteString("\ndata: ")
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(it.data); err != nil { // ends the line
		b.WriteString("null\n") // our own types encode; a visitor must never get half a frame
	}
	b.WriteByte('\n')
	return eventlog.Entry{Seq: it.seq, Frame: b.Bytes()}
}

// textFrame is what entry makes of text, without a detour.
func textFrame(id eventID, d textData) []byte {
	const most = 80 // bytes besides the text
	b := make([]byte, 0, most+len(d.Text)+len(d.Text)/16)
	if id.seq != 0 {
		b = append(b, "id: "...)
		b = strconv.AppendInt(b, id.epoch, 10)
		b = append(b, '-')
		b = strconv.AppendInt(b, id.seq, 10)
		b = append(b, '\n')
	}
	b = append(b, deltaFramePrefix+`{"text":`...)
	b = appendString(b, d.Text)
	b = append(b, `,"delta":`...)
	b = strconv.AppendBool(b, d.Delta)
	return append(b, "}\n\n"...)
}

// appendString writes a JSON string as encoding/json does.
func appendString(b []byte, s string) []byte {
	start := len(b)
	b = append(b, '"')
	b = append(b, s...)
	if plain(b[start+1:]) == len(s) {
		return append(b, '"')
	}
	b = b[:start+1]
	for i := range len(s) {
		switch c := s[i]; {
		case c == '"' || c == '\\':
			b = append(b, '\\', c)
		case c == '\n':
			b = append(b, '\\', 'n')
		case c < ' ' || c >= utf8.RuneSelf:
			return appendEncoded(b[:start], s)
		default:
			b = append(b, c)
		}
	}
	return append(b, '"')
}

func appendEncoded(b []byte, s string) []byte {
	buf := bytes.NewBuffer(b)
	enc := json.NewEncoder(buf)
	enc.SetEscapeHTML(false)
	_ = enc.Encode(s) // a string: cannot fail
	return bytes.TrimSuffix(buf.Bytes(), []byte("\n"))
}

const deltaFramePrefix = "event: text\ndata: "

// compactDeltas joins neighbouring text deltas of an unnumbered run: what a
// reader of the whole run shows stays the same.
func compactDeltas(run []eventlog.Entry) []eventlog.Entry {
	var out []eventlog.Entry
	var text strings.Builder
	flush := func() {
		if text.Len() > 0 {
			out = append(out, item{kind: "text", data: textData{text.String(), true}}.entry(0))
			text.Reset()
		}
	}
	for _, e := range run {
		var d textData
		rest, ok := bytes.CutPrefix(e.Frame, []byte(deltaFramePrefix))
		if ok && json.Unmarshal(rest, &d) == nil && d.Delta {
			text.WriteString(d.Text)
			continue
		}
		flush()
		out = append(out, e)
	}
	flush()
	return out
}
