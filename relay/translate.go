package relay

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/anyframe-relay/relay/anyframe"
	"github.com/anyframe-relay/relay/relay/store"
)

// What visitors get, kind by kind. What has no type here has no way out.
type (
	sessionData struct {
		Status status `json:"status"`
		Epoch  int64  `json:"epoch"`
	}
	userData struct {
		Text        string  `json:"text"`
		Attachments []named `json:"attachments"`
		Turn        string  `json:"turn,omitempty"`
	}
	textData struct {
		Text  string `json:"text"`
		Delta bool   `json:"delta"`
	}
	toolData struct {
		Name    string `json:"name"`
		State   string `json:"state"`
		Summary string `json:"summary"`
	}
	questionData struct {
		ID       string   `json:"id"`
		Question string   `json:"question"`
		Options  []string `json:"options"`
	}
	approvalData struct {
		ID    *string         `json:"id"`
		Tool  string          `json:"tool,omitempty"`
		Input json.RawMessage `json:"input,omitempty"`
	}
	settledData struct {
		ID      string `json:"id"`
		Outcome string `json:"outcome"`
	}
	turnEndData struct {
		Reason string  `json:"reason"`
		Code   *string `json:"code"`
	}
	upstreamData struct {
		Payload json.RawMessage `json:"payload"`
	}
	resetData struct {
		Reason string `json:"reason"`
	}
)

const outcomeElsewhere = "elsewhere" // the operator answered, on AnyFrame's own console

// told is what one upstream event comes to.
type told struct {
	// items, in order; the last carries the event's seq if anything shows. They
	// are good until the translator's next step.
	items []item
	// active: the agent or a visitor did something; ended: the turn is over.
	active, ended bool
	speaks        bool              // the agent's own words or acts
	placed        map[string]int64  // turns recognised: key → seq
	moved         map[string]int64  // own turns shown later than where they belong: key → the seq before
	opened        []promptNote      // prompts seen for the first time
	asked         string            // the prompt that the event is, by our id
	settled       map[string]string // prompts that turn out to be answered: id → outcome
}

// translator turns a session's upstream events into what a visitor may see, in
// the order of their seqs, and merges in what AnyFrame's log does not have. It
// drops everything that is not named. It is used by one goroutine at a time.
type translator struct {
	visibility Visibility
	approvals  bool     // visitors decide permission prompts
	marks      *markSet // what keys begin with
	epoch      int64
	book       *notebook
	// past: the events come from the transcript for somebody who reads on in
	// the log. What the log gets at the moment it happens, the past merges in.
	past bool

	start   int64           // seq of the event it began after
	last    int64           // seq of the last numbered event
	said    spoken          // text deltas since the last whole block
	waiting []string        // prompts that are open, by our id
	shown   map[string]bool // own turns that went out
	// due: before the event of this seq there is nothing to do for an own turn.
	// A reader who is far behind must not ask AnyFrame at every event.
	due map[string]int64
	// caughtUp is the version of the notebook of which every own turn went out;
	// -1 when some have not.
	caughtUp int64
	echoed   bool // AnyFrame shows messages
	tools    map[string]string
	// torn: the stream was joined while the agent may have been in the middle
	// of a block whose first deltas nobody numbered. Such deltas are left out
	// until a whole block after this seq; -1 when the stream is whole.
	torn int64
	lone [1]item // a delta that is all there is to tell
}

// newTranslator begins after the event numbered seq.
func newTranslator(c *Config, marks *markSet, epoch, seq int64, book *notebook, past bool) *translator {
	t := &translator{
		visibility: c.Visibility, approvals: c.VisitorApprovals, marks: marks, epoch: epoch, book: book, past: past,
		start: seq, last: seq, shown: map[string]bool{}, torn: -1, caughtUp: -1,
	}
	for _, p := range book.openPrompts(seq) {
		t.waiting = append(t.waiting, p.note.Key)
	}
	return t
}

// plain reports whether nothing has to be merged in before what comes next.
func (t *translator) plain() bool {
	return t.caughtUp == t.book.version.Load() && len(t.waiting) == 0
}

// step translates one event. Numbered ones must come in order.
func (t *translator) step(h heard) told {
	var out told
	t.lone = [1]item{}
	ev, m, kind, isUser := h.Event, h.members, h.kind, h.user

	var text, key string
	if isUser {
		text = m.userText()
		key = t.book.turnOf(ev.Seq, text)
	}
	t.mergeOwn(&out, ev, isUser, m)
	if speaks(kind) {
		out.speaks = true
		t.settleElsewhere(&out)
	}
	if h.delta != "" {
		out.active = true
		if ev.Seq != 0 || t.torn < 0 {
			if out.items == nil {
				out.items = t.lone[:0]
			}
			if text := t.said.say(t.marks, h.delta); text != "" {
				out.items = append(out.items, item{kind: "text", delta: text, seq: ev.Seq})
			}
		}
		t.last = max(t.last, ev.Seq)
		return out
	}
	var items []item
	show := func(kind string, data any) { items = append(items, item{kind: kind, data: maskData(t.marks, data)}) }

	switch kind {
	case "assistant":
		if h.whole != "" {
			out.active = true
			t.whole(h.whole, show)
			t.heal(ev.Seq)
			break
		}
		t.assistant(&out, ev, m, show)
	case "assistant_message":
		t.whole(m.str("text"), show)
		out.active = true
	case "user", "user_message":
		if !isUser {
			t.toolResults(m, show)
			break
		}
		files := m.attachments()
		if own, ok := t.book.turn(key); ok && len(files) == 0 {
			files = orEmpty(own.Attachments) // AnyFrame need not name them
		}
		if key != "" && ev.Seq != 0 {
			out.placed = map[string]int64{key: ev.Seq}
			t.shown[key], t.echoed = true, true
		}
		show("user", userData{text, files, key})
		out.active = true
	case "tool_call":
		t.tool(m.str("name"), m.obj("input"), show)
		out.active = true
	case "permission_request", "ask_user_question":
		t.prompt(&out, ev, kind == "permission_request", m, show)
		out.active = true
	case "result":
		t.said.Reset()
		t.healAtEnd(ev.Seq)
		show("turn_end", resultEnd(m))
		out.ended = true
	case "_error":
		t.said.Reset()
		t.healAtEnd(ev.Seq)
		show("turn_end", turnEndData{"failed", new("agent_error")})
		out.ended = true
	default:
		if t.visibility == VisibilityFull && h.valid && ev.Data != nil {
			show("upstream", upstreamData{compactJSON(ev.Data)})
		}
	}
	if len(items) > 0 {
		items[len(items)-1].seq = ev.Seq
	}
	out.items = append(out.items, items...)
	t.last = max(t.last, ev.Seq)
	return out
}

// finish merges in what belongs up to the event numbered seq, after the last
// event of the past.
func (t *translator) finish(seq int64) []item {
	var out told
	for _, own := range t.book.own(t.last, seq) {
		t.showOwn(&out, own)
	}
	t.pastSettled(&out, seq)
	t.last = max(t.last, seq)
	return out.items
}

// speaks reports whether events of this kind are the agent's own words or acts.
func speaks(kind string) bool {
	switch kind {
	case "assistant", "assistant_message", "tool_call", "result", "_error":
		return true
	}
	return false
}

// mergeOwn shows the visitor's messages that AnyFrame's log has no event for,
// before the first event that comes after them.
func (t *translator) mergeOwn(out *told, ev anyframe.Event, isUser bool, m object) {
	if ev.Seq == 0 {
		return
	}
	if t.past {
		t.pastSettled(out, ev.Seq)
	}
	version := t.book.version.Load()
	if !t.past && t.caughtUp == version {
		return
	}
	for _, own := range t.book.own(t.from(), ev.Seq) {
		if !t.past && t.book.needless(own) {
			continue
		}
		if !isUser || (own.note.Seq != ev.Seq && (own.note.Seq != 0 || own.Text != m.userText())) {
			t.showOwn(out, own)
		}
	}
	if !t.past && t.book.allShown(t.start, t.shown) {
		t.caughtUp = version
	}
}

// from is the place of the first own turn that may still be to be shown.
func (t *translator) from() int64 {
	if t.past {
		return t.last
	}
	return t.start
}

// ahead returns the own turns not shown yet that AnyFrame may have no event for.
func (t *translator) ahead() []turnNote {
	if t.caughtUp == t.book.version.Load() {
		return nil
	}
	return slices.DeleteFunc(t.book.own(t.start, 1<<62), func(o turnNote) bool {
		return t.shown[o.note.Key] || t.last < t.due[o.note.Key] || t.book.needless(o)
	})
}

// showOwn shows a turn that AnyFrame has no event for. It has no number: that
// which AnyFrame answered may turn out to be another event's.
func (t *translator) showOwn(out *told, own turnNote) {
	if t.shown[own.note.Key] {
		return
	}
	t.shown[own.note.Key] = true
	if t.last > own.place() { // whoever reads the past must find it here too
		if out.moved == nil {
			out.moved = map[string]int64{}
		}
		out.moved[own.note.Key] = t.last
	}
	out.items = append(out.items, item{kind: "user", data: maskData(t.marks, userData{own.Text, orEmpty(own.Attachments), own.note.Key})})
}

// pastSettled tells which prompts were settled before the event numbered to.
func (t *translator) pastSettled(out *told, to int64) {
	for _, p := range t.book.settledBetween(t.last, to) {
		if id, ok := t.visiblePrompt(p); ok {
			out.items = append(out.items, item{kind: "settled", data: settledData{id, p.Outcome}})
		}
		t.waiting = slices.DeleteFunc(t.waiting, func(id string) bool { return id == p.note.Key })
	}
}

// settleElsewhere ends the prompts that were open: an agent that goes on has
// its answer, from somebody who did not ask us, or by an answer of ours of
// which we never heard that it arrived.
func (t *translator) settleElsewhere(out *told) {
	waiting := t.waiting
	t.waiting = nil
	for _, id := range waiting {
		p, ok := t.book.prompt(id)
		switch {
		case !ok:
			p.note.Key = id
		case p.note.State == promptAnswered:
			continue // told by whoever answered it
		case p.inFlight:
			t.waiting = append(t.waiting, id) // whoever answers it is about to tell
			continue
		}
		outcome := firstOf(p.Outcome, outcomeElsewhere)
		if shownID, visible := t.visiblePrompt(p); visible {
			out.items = append(out.items, item{kind: "settled", data: settledData{shownID, outcome}})
		}
		if out.settled == nil {
			out.settled = map[string]string{}
		}
		out.settled[id] = outcome
	}
}

// visiblePrompt returns the id that visitors know the prompt by, if any.
func (t *translator) visiblePrompt(p promptNote) (string, bool) {
	return p.note.Key, !p.Approval || t.approvals
}

// assistant shows what the agent says and, where visitors may see it, does.
func (t *translator) assistant(out *told, ev anyframe.Event, m object, show func(string, any)) {
	out.active = true
	blocks := m.blocks()
	hidden := false
	if m.flag("delta") {
		for _, b := range blocks {
			switch b.blockType() {
			case "text":
				text := piece(b["text"])
				if text == "" || (ev.Seq == 0 && t.torn >= 0) {
					continue
				}
				if text = t.said.say(t.marks, text); text != "" {
					show("text", textData{text, true})
				}
			default:
				hidden = true
			}
		}
	} else {
		var texts []string
		for _, b := range blocks {
			if b.blockType() == "text" && b.str("text") != "" {
				texts = append(texts, b.str("text"))
			}
		}
		// Several blocks whose deltas came as one: only together do they equal
		// what the deltas added up to.
		if joined := strings.Join(texts, ""); len(texts) > 1 && t.said.Len() > 0 && strings.HasPrefix(joined, t.said.String()) {
			texts = []string{joined}
		}
		next := 0
		for _, b := range blocks {
			switch b.blockType() {
			case "text":
				if next < len(texts) && b.str("text") != "" {
					t.whole(texts[next], show)
					next++
				}
			case "tool_use":
				hidden = true
				name := b.str("name")
				if id := b.str("id"); id != "" {
					if t.tools == nil {
						t.tools = map[string]string{}
					}
					t.tools[id] = name
				}
				t.tool(name, b.obj("input"), show)
			default:
				hidden = true
			}
		}
		if len(texts) > 0 {
			t.heal(ev.Seq)
		}
	}
	if hidden && t.visibility == VisibilityFull {
		show("upstream", upstreamData{compactJSON(ev.Data)})
	}
}

// whole shows a complete block. Deltas that were lost on the way to us are
// made up for first, so that the block equals what its deltas added up to and
// replaces them.
func (t *translator) whole(text string, show func(string, any)) {
	if said := t.said.String(); said != "" && said != text && strings.HasPrefix(text, said) {
		t.said.half = "" // the block has it whole
		show("text", textData{t.said.say(t.marks, text[len(said):]), true})
	}
	t.said.Reset()
	if text != "" {
		show("text", textData{text, false})
	}
}

// tear says that the stream was joined anew and that deltas may be missing
// until a whole block numbered above seq.
func (t *translator) tear(seq int64) { t.torn, t.said.half = max(seq, 0), "" }

// tornUnknown tears a stream of which nobody knows up to where deltas may be
// missing.
const tornUnknown = 1 << 62

// healAtEnd says that the event numbered seq ended the turn.
func (t *translator) healAtEnd(seq int64) {
	if t.torn == tornUnknown {
		t.torn = -1
	}
	t.heal(seq)
}

// forget says that the deltas since the last whole block are not kept, so that
// nobody can get all of them. Those that come are masked on from them.
func (t *translator) forget(seq int64) {
	t.said.Builder.Reset()
	t.tear(seq)
}

// heal says that the event numbered seq ended whatever was torn.
func (t *translator) heal(seq int64) {
	if t.torn >= 0 && seq > t.torn {
		t.torn = -1
	}
}

// prompt shows a question, or that the agent waits for a permission.
func (t *translator) prompt(out *told, ev anyframe.Event, approval bool, m object, show func(string, any)) {
	id := fmt.Sprintf("p%d-%d", t.epoch, ev.Seq)
	if ev.Seq == 0 {
		sum := sha256.Sum256(ev.Data)
		id = fmt.Sprintf("p%d-x%s", t.epoch, hex.EncodeToString(sum[:8]))
	}
	out.asked = id
	p, known := t.book.prompt(id)
	if !known {
		p = promptNote{
			note:      store.Note{Kind: notePrompt, Key: id, Epoch: t.epoch, Seq: ev.Seq, State: promptOpen},
			Approval:  approval,
			PromptID:  firstOf(m.str("prompt_id"), m.str("request_id"), m.str("id")),
			ToolUseID: firstOf(m.str("tool_use_id"), m.str("request_id")),
		}
		out.opened = append(out.opened, p)
	}
	if p.note.State != promptAnswered && !slices.Contains(t.waiting, id) {
		t.waiting = append(t.waiting, id)
	}
	switch {
	case !approval:
		show("question", questionData{id, m.str("question"), m.options()})
	case t.approvals:
		input := m.raw("tool_input", "input")
		show("approval", approvalData{&id, m.str("tool_name"), compactJSON(input)})
	default:
		show("approval", approvalData{})
	}
}

func resultEnd(m object) turnEndData {
	subtype := m.str("subtype")
	switch {
	case strings.Contains(subtype, "interrupt"):
		return turnEndData{Reason: "interrupted"}
	case m.flag("is_error") || strings.HasPrefix(subtype, "error"):
		return turnEndData{"failed", new("agent_error")}
	}
	return turnEndData{Reason: "done"}
}
