package conversation

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/anyframe-relay/relay/relay/internal/event"
	"github.com/anyframe-relay/relay/relay/internal/redact"
	"github.com/anyframe-relay/relay/relay/internal/upstream"
)

// gapUnknown is the end of a gap whose end is not known.
const gapUnknown = 1 << 62

// projector turns AnyFrame's events into what a visitor may see. The live stream, readers
// that catch up, and the transcript all use it. It drops every event that it does not
// name. Everything it uses about turns and prompts comes from events.
type projector struct {
	visibility event.Visibility
	approvals  bool // visitors decide permission prompts
	patterns   *redact.Patterns
	epoch      int64

	pending pendingText
	tools   map[string]string // names of the tools in use, by AnyFrame's tool-use id
	// gapUntil marks a gap: the stream was joined while the agent may have been in the
	// middle of a block whose first deltas had no number. Deltas are dropped until a
	// whole block after this seq. It is -1 if there is no gap.
	gapUntil int64

	out []event.Item // step appends to this
	seq int64        // of the current event
}

// maxTools is how many tool names are kept for the tools' results.
const maxTools = 1024

// message is the author of a message: one of the visitor's turns, or an unknown client
// (""). For the end of a turn, it is the turn.
type message struct {
	turn  string
	files []event.Attachment // as the visitor sent them, because AnyFrame may not name them
}

func (p *projector) show(kind string, data any) {
	p.out = append(p.out, event.Item{Kind: kind, Data: event.Fit(event.Mask(p.patterns, data))})
}

// project appends to items what a visitor may see of an event.
func (p *projector) project(ev *upstream.Event, who message, items []event.Item) ([]event.Item, outcome) {
	var o outcome
	first := len(items)
	if ev.Delta != "" {
		o.active = true
		if ev.Seq == 0 && p.gapUntil >= 0 {
			return items, o
		}
		p.out = items
		p.say(ev.Delta)
		if items, p.out = p.out, nil; len(items) > first {
			items[len(items)-1].Seq = ev.Seq
		}
		return items, o
	}
	p.out, p.seq = items, ev.Seq
	m := ev.Members
	switch {
	case ev.Inner: // from a subagent, or not written by a person
		o.active = Speaks(ev.Kind)
		p.raw(ev)
	case ev.Kind == "assistant":
		o.active = true
		if ev.Whole != "" {
			p.whole(ev.Whole)
			break
		}
		p.assistant(ev)
	case ev.Kind == "assistant_message":
		o.active = true
		p.whole(m.Str("text"))
	case ev.User:
		o.active = true
		files := attachmentsOf(m)
		if len(files) == 0 {
			files = orEmpty(who.files)
		}
		p.show("user", event.UserData{Text: m.UserText(), Attachments: files, Turn: who.turn})
	case ev.Kind == "user", ev.Kind == "user_message":
		p.toolResults(m)
	case ev.Kind == "tool_call":
		o.active = true
		p.tool(m.Str("name"), m.Sub("input"))
	case ev.Kind == kindPermission, ev.Kind == kindQuestion:
		o.active = true
		p.prompt(ev)
	case ev.Kind == "result":
		o.ended = true
		end := resultEnd(m)
		end.Turn = who.turn
		p.end(end)
	case ev.Kind == "_error":
		o.ended = true
		p.end(event.TurnEndData{Reason: "failed", Code: new("agent_error"), Turn: who.turn})
	default:
		p.raw(ev)
	}
	items, p.out = p.out, nil
	if len(items) > first {
		items[len(items)-1].Seq = ev.Seq
	}
	return items, o
}

// raw shows AnyFrame's raw event, if the visibility permits.
func (p *projector) raw(ev *upstream.Event) {
	if p.visibility == event.VisibilityFull && ev.Valid && ev.Data != nil {
		p.show("upstream", event.UpstreamData{Payload: compactJSON(ev.Data)})
	}
}

// end ends the turn.
func (p *projector) end(data event.TurnEndData) {
	p.pending.Reset()
	if p.gapUntil == gapUnknown {
		p.gapUntil = -1
	}
	p.closeGap(p.seq)
	p.show("turn_end", data)
}

// assistant shows the agent's text and, if the visibility permits, its actions.
func (p *projector) assistant(ev *upstream.Event) {
	blocks := ev.Members.Blocks()
	hidden := false
	if ev.Members.Flag("delta") {
		for _, b := range blocks {
			if b.BlockType() != "text" {
				hidden = true
				continue
			}
			if text := b.Piece("text"); text != "" && (ev.Seq != 0 || p.gapUntil < 0) {
				p.say(text)
			}
		}
	} else {
		hidden = p.blocks(blocks)
	}
	if hidden {
		p.raw(ev)
	}
}

// blocks shows the blocks of a whole message. It reports whether there are blocks other
// than text.
func (p *projector) blocks(blocks []upstream.Object) (hidden bool) {
	var texts []string
	for _, b := range blocks {
		if b.BlockType() == "text" && b.Str("text") != "" {
			texts = append(texts, b.Str("text"))
		}
	}
	// Several blocks whose deltas arrived as one text: only joined do they equal the sum
	// of the deltas.
	if joined := strings.Join(texts, ""); len(texts) > 1 && p.pending.Len() > 0 && p.pending.IsPrefixOf(joined) {
		texts = []string{joined}
	}
	for _, b := range blocks {
		switch b.BlockType() {
		case "text":
			if len(texts) > 0 && b.Str("text") != "" {
				p.whole(texts[0])
				texts = texts[1:]
			}
		case "tool_use":
			hidden = true
			name := b.Str("name")
			if id := b.Str("id"); id != "" && p.visibility != event.VisibilityChat {
				if p.tools == nil || len(p.tools) >= maxTools {
					p.tools = map[string]string{}
				}
				p.tools[id] = name
			}
			p.tool(name, b.Sub("input"))
		default:
			hidden = true
		}
	}
	return hidden
}

// openGap records that the stream was joined again and that unnumbered deltas may be
// missing until a whole block numbered above seq. Numbered ones are not: the next one may
// complete half a character.
func (p *projector) openGap(seq int64) { p.gapUntil = max(seq, 0) }

// closeGap records that the event numbered seq ends a gap before it.
func (p *projector) closeGap(seq int64) {
	if p.gapUntil >= 0 && seq > p.gapUntil {
		p.gapUntil = -1
	}
}

// dropDeltas records that the deltas since the last whole block are not kept, so that no
// reader can get all of them. Masking of later deltas continues from them.
func (p *projector) dropDeltas(seq int64) {
	p.pending.drop()
	p.openGap(seq)
}

// The kinds of event that wait for a person.
const (
	kindPermission = "permission_request"
	kindQuestion   = "ask_user_question"
)

// isPrompt reports whether an event waits for a person.
func isPrompt(ev *upstream.Event) bool {
	return !ev.Inner && (ev.Kind == kindPermission || ev.Kind == kindQuestion)
}

// Asks reports whether an event waits for a person, so that Apply stores it.
func Asks(ev *upstream.Event) bool { return isPrompt(ev) }

// promptID returns the prompt id that visitors see for an event.
func promptID(epoch int64, ev *upstream.Event) string {
	if ev.Seq != 0 {
		return fmt.Sprintf("p%d-%d", epoch, ev.Seq)
	}
	sum := sha256.Sum256(ev.Data)
	return fmt.Sprintf("p%d-x%s", epoch, hex.EncodeToString(sum[:8]))
}

// prompt shows a question or a permission prompt.
func (p *projector) prompt(ev *upstream.Event) {
	id, m := promptID(p.epoch, ev), ev.Members
	switch {
	case ev.Kind == kindQuestion:
		p.show("question", event.QuestionData{ID: id, Question: m.Str("question"), Options: m.Options()})
	case p.approvals:
		p.show("approval", event.ApprovalData{ID: &id, Tool: m.Str("tool_name"), Input: compactJSON(m.Raw("tool_input", "input"))})
	default:
		p.show("approval", event.ApprovalData{})
	}
}

func resultEnd(m upstream.Object) event.TurnEndData {
	subtype := m.Str("subtype")
	switch {
	case strings.Contains(subtype, "interrupt"):
		return event.TurnEndData{Reason: event.ReasonInterrupted}
	case m.Flag("is_error") || strings.HasPrefix(subtype, "error"):
		return event.TurnEndData{Reason: "failed", Code: new("agent_error")}
	}
	return event.TurnEndData{Reason: "done"}
}

// endsTurn reports whether an event ends a turn.
func endsTurn(ev *upstream.Event) bool {
	return !ev.Inner && (ev.Kind == "result" || ev.Kind == "_error")
}

// speaks reports whether an event is the agent's own text or action.
func speaks(ev *upstream.Event) bool { return !ev.Inner && Speaks(ev.Kind) }

// Speaks reports whether events of this kind are the agent's own text or actions.
func Speaks(kind string) bool {
	switch kind {
	case "assistant", "assistant_message", "tool_call", "result", "_error":
		return true
	}
	return false
}

func attachmentsOf(m upstream.Object) []event.Attachment {
	var rows []upstream.Object
	if json.Unmarshal(m["attachments"], &rows) != nil {
		return nil
	}
	out := make([]event.Attachment, 0, len(rows))
	for _, r := range rows {
		if r.Str("name") == event.ContextAttachment {
			continue
		}
		out = append(out, event.Attachment{Name: r.Str("name"), MIME: cmp.Or(r.Str("mime"), r.Str("mime_type"))})
	}
	return out
}
