package anyframe

import (
	"bytes"
	"strings"
)

// Reply assembles the agent's text of a turn. The zero value is ready to use. It is
// not safe for concurrent use.
//
// Text arrives in fragments, as complete messages, or as both, the complete message
// after its fragments. Reply adds it once. Messages are separated by an empty line.
type Reply struct {
	parts   []replyPart
	open    bool // the last part may grow
	lastSeq int64
}

// replyPart is one message.
type replyPart struct {
	text []byte
	sure int // number of bytes that came complete, or were repeated complete
}

// betweenParts separates messages.
const betweenParts = "\n\n"

// Add processes an event and returns the text that it adds to the end of the reply,
// or "". Events without text, and numbered events that were added before, change
// nothing. If fragments were lost, the complete message corrects String, but not
// the text that Add returned before.
func (r *Reply) Add(e Event) string {
	if e.Seq > 0 {
		if e.Seq <= r.lastSeq {
			return ""
		}
		r.lastSeq = e.Seq
	}
	payload, err := e.Payload()
	if err != nil {
		return ""
	}
	switch p := payload.(type) {
	case Assistant:
		text := p.Text()
		switch {
		case text != "" && p.Delta:
			return r.fragment(text)
		case text != "":
			return r.whole(text)
		case !p.Delta:
			r.open = false // a tool call separates the text before and after it
		}
	case Text:
		if p.Type == TypeAssistantMessage && p.Text != "" {
			return r.whole(p.Text)
		}
		r.end()
	case Result:
		r.end()
	}
	return ""
}

// String returns the reply so far.
func (r *Reply) String() string {
	var b strings.Builder
	for i, p := range r.parts {
		if i > 0 {
			b.WriteString(betweenParts)
		}
		b.Write(p.text)
	}
	return b.String()
}

// begin starts a part and returns the text this adds to the end.
func (r *Reply) begin(p replyPart) string {
	r.parts = append(r.parts, p)
	if len(r.parts) == 1 {
		return string(p.text)
	}
	return betweenParts + string(p.text)
}

// end makes sure that no later text counts as a repetition.
func (r *Reply) end() {
	r.open = false
	for i := range r.parts {
		r.parts[i].sure = len(r.parts[i].text)
	}
}

func (r *Reply) fragment(text string) string {
	if !r.open {
		r.open = true
		return r.begin(replyPart{text: []byte(text)})
	}
	last := &r.parts[len(r.parts)-1]
	last.text = append(last.text, text...)
	return text
}

func (r *Reply) whole(text string) string {
	trimmed := strings.TrimSpace(text)
	for i := range r.parts {
		p := &r.parts[i]
		if p.sure < len(p.text) && string(bytes.TrimSpace(p.text[p.sure:])) == trimmed {
			p.sure = len(p.text)
			r.open = r.open && i < len(r.parts)-1
			return ""
		}
	}
	if len(r.parts) > 0 {
		last := &r.parts[len(r.parts)-1]
		switch rest := last.text[last.sure:]; {
		case len(rest) == 0:
		case bytes.HasPrefix(rest, []byte(text)): // fragments of the next message have already arrived
			last.sure += len(text)
			return ""
		case fragmentsOf(text, rest):
			added, _ := strings.CutPrefix(text, string(rest))
			if added == text {
				added = ""
			}
			last.text = append(last.text[:last.sure], text...)
			last.sure = len(last.text)
			r.open = false
			return added
		}
	}
	r.open = false
	return r.begin(replyPart{text: []byte(text), sure: len(text)})
}

// fragmentsOf reports whether some is text with parts missing: all its bytes occur
// in text, in order.
func fragmentsOf(text string, some []byte) bool {
	for i := 0; i < len(text) && len(some) > 0; i++ {
		if text[i] == some[0] {
			some = some[1:]
		}
	}
	return len(some) == 0
}
