package event

import (
	"bytes"
	"encoding/json"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/anyframe-relay/relay/relay/internal/eventlog"
	"github.com/anyframe-relay/relay/relay/internal/jsonscan"
)

// MaxEventIDBytes is the maximum length of a last event id that is accepted.
const MaxEventIDBytes = 64

// ID is the id of an event on our streams.
type ID struct{ Epoch, Seq int64 }

func (id ID) String() string {
	return strconv.FormatInt(id.Epoch, 10) + "-" + strconv.FormatInt(id.Seq, 10)
}

// ParseID parses exactly what [ID.String] writes.
func ParseID(s string) (ID, bool) {
	if len(s) > MaxEventIDBytes {
		return ID{}, false
	}
	epoch, seq, ok := strings.Cut(s, "-")
	if !ok {
		return ID{}, false
	}
	e, err1 := strconv.ParseInt(epoch, 10, 64)
	n, err2 := strconv.ParseInt(seq, 10, 64)
	id := ID{e, n}
	if err1 != nil || err2 != nil || e < 1 || n < 1 || id.String() != s {
		return ID{}, false
	}
	return id, true
}

// Item is one event as a visitor may see it. Its seq is 0 if it has no id.
type Item struct {
	Kind string
	Data any // nil for a delta
	// Delta is a piece of the agent's text. Most items are deltas, so a delta needs no
	// allocation; see Payload.
	Delta string
	Seq   int64
}

// Payload returns the item's data.
func (it Item) Payload() any {
	if it.Data == nil {
		return TextData{it.Delta, true}
	}
	return it.Data
}

// Entry frames an item: its kind, its data as one line of JSON, and last, only if
// AnyFrame numbered the event, its id. Because the id comes last, a client that reads
// line by line never records the id of an event that it does not have.
func (it Item) Entry(epoch int64) eventlog.Entry {
	id := ID{epoch, it.Seq}
	if it.Data == nil {
		return eventlog.Entry{Seq: it.Seq, Frame: TextFrame(id, TextData{it.Delta, true})}
	}
	if text, ok := it.Data.(TextData); ok {
		return eventlog.Entry{Seq: it.Seq, Frame: TextFrame(id, text)}
	}
	var b bytes.Buffer
	b.WriteString("event: ")
	b.WriteString(it.Kind)
	b.WriteString("\ndata: ")
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(it.Data); err != nil { // Encode ends the line
		b.WriteString("null\n") // our own types always encode; a visitor must never get half a frame
	}
	return eventlog.Entry{Seq: it.Seq, Frame: endFrame(b.Bytes(), id)}
}

// TextFrame returns the frame that Item.Entry would make of text, without reflection.
func TextFrame(id ID, d TextData) []byte {
	const most = 80 // upper bound of the bytes besides the text
	b := make([]byte, 0, most+len(d.Text)+len(d.Text)/16)
	b = append(b, deltaFramePrefix+`{"text":`...)
	b = appendString(b, d.Text)
	b = append(b, `,"delta":`...)
	b = strconv.AppendBool(b, d.Delta)
	return endFrame(append(b, "}\n"...), id)
}

// endFrame adds the id, if there is one, and the empty line.
func endFrame(b []byte, id ID) []byte {
	if id.Seq != 0 {
		b = append(b, "id: "...)
		b = strconv.AppendInt(b, id.Epoch, 10)
		b = append(b, '-')
		b = strconv.AppendInt(b, id.Seq, 10)
		b = append(b, '\n')
	}
	return append(b, '\n')
}

// appendString appends a JSON string as encoding/json writes it.
func appendString(b []byte, s string) []byte {
	start := len(b)
	b = append(b, '"')
	b = append(b, s...)
	if jsonscan.Plain(b[start+1:]) == len(s) {
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

// CompactDeltas joins adjacent text deltas of an unnumbered run, and drops those that a
// block replaces. A reader of the whole run shows the same result.
func CompactDeltas(run []eventlog.Entry) []eventlog.Entry {
	var out []eventlog.Entry
	var text strings.Builder
	flush := func() {
		if text.Len() > 0 {
			out = append(out, Item{Kind: "text", Data: TextData{text.String(), true}}.Entry(0))
			text.Reset()
		}
	}
	for _, e := range run {
		var d TextData
		rest, ok := bytes.CutPrefix(e.Frame, []byte(deltaFramePrefix))
		if ok && json.Unmarshal(rest, &d) == nil && d.Delta {
			text.WriteString(d.Text)
			continue
		}
		if ok && d.Text == text.String() {
			text.Reset() // the block replaces them
		}
		flush()
		out = append(out, e)
	}
	flush()
	return out
}
