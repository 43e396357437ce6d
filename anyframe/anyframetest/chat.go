package anyframetest

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode"
)

// A Script is the agent's side of one turn. It runs when it is the message's turn,
// in its own goroutine. The turn ends when the script returns: the server adds a
// result event, except after [Chat.Fail]. If the sandbox goes away meanwhile, the
// next call of a Chat method ends the goroutine, running its deferred functions,
// and nothing more is logged. A script that waits for anything else must also wait
// for [Chat.Context]; otherwise [Server.Close] blocks forever.
type Script func(c *Chat)

// A Chat is a [Script]'s connection to its session. Only the script's goroutine may
// use it.
type Chat struct {
	server      *Server
	session     *session
	box         *sandbox
	prompt      string
	attachments []Attachment
	turn        int
	failed      bool
}

// An Attachment is a file sent with a message.
type Attachment struct {
	Kind string // "image" or "text"
	Name string
	MIME string
	Data []byte // decoded
}

// Prompt returns the text of the message.
func (c *Chat) Prompt() string { return c.prompt }

// Attachments returns the message's files, in order.
func (c *Chat) Attachments() []Attachment { return slices.Clone(c.attachments) }

// Turn returns the number of the session's turn: 1, 2, 3 …
func (c *Chat) Turn() int { return c.turn }

// Context ends when the sandbox goes away.
func (c *Chat) Context() context.Context { return c.box.ctx }

// Session returns the id of the session.
func (c *Chat) Session() string { return c.session.id }

// Say sends text: its words as deltas, then the whole text as a complete block. The
// options [WithPace], [WithUnnumberedDeltas] and [WithRepeatedBlocks] change the
// details.
func (c *Chat) Say(text string) {
	p := c.server.phrases.lookUp(text, c.server.wordsPerDelta)
	if c.server.pace > 0 {
		for _, delta := range p.deltas {
			c.append(!c.server.unnumbered, delta)
			c.Pause(c.server.pace)
		}
	} else {
		c.append(!c.server.unnumbered, p.deltas...)
	}
	if !c.server.noBlocks {
		c.append(true, p.block)
	}
	c.locked(func() { c.session.said = summary(text) })
}

// Think logs a thinking block.
func (c *Chat) Think(text string) {
	c.append(true, assistant(block{Type: "thinking", Thinking: &text}, false))
}

// Tool logs a tool_use block: the agent uses the tool called name.
func (c *Chat) Tool(name string, input map[string]any) {
	c.append(true, assistant(c.toolUse(name, input), false))
}

func (c *Chat) toolUse(name string, input map[string]any) block {
	if input == nil {
		input = map[string]any{}
	}
	c.server.mu.Lock()
	defer c.server.mu.Unlock()
	return block{Type: "tool_use", ID: c.server.secret(newID("toolu_")), Name: name, Input: &input}
}

// Ask logs an ask_user_question and blocks until it is answered. It returns the
// answer, which may be different from all options.
func (c *Chat) Ask(question string, options ...string) string {
	if options == nil {
		options = []string{}
	}
	return c.wait(question, func(p *prompt) any {
		return map[string]any{
			"type": "ask_user_question", "prompt_id": p.id, "request_id": p.requestID,
			"question": question, "options": options,
		}
	}, false).text
}

// Permit logs a permission_request for a use of the tool and blocks until it is
// decided. It reports whether the use was approved.
func (c *Chat) Permit(tool string, input map[string]any) bool {
	if input == nil {
		input = map[string]any{}
	}
	return c.wait("May I use "+tool+"?", func(p *prompt) any {
		return map[string]any{
			"type": "permission_request", "prompt_id": p.id, "request_id": p.requestID,
			"tool_use_id": p.toolUseID, "tool_name": tool, "tool_input": input, "input": input,
		}
	}, true).approve
}

// Fail logs an _error with the message, and the turn ends without a result. If the
// message is empty, the field is omitted. The script continues; its later output
// comes after the end of its turn.
func (c *Chat) Fail(message string) {
	payload := map[string]any{"type": "_error"}
	if message != "" {
		payload["error"] = message
	}
	c.failed = true
	c.append(true, encode(payload))
}

// Pause waits for d.
func (c *Chat) Pause(d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-c.box.ctx.Done():
		runtime.Goexit()
	}
}

// Emit logs payload as an event. It is encoded as JSON; a [json.RawMessage] is sent
// unchanged, except for white space. Emit panics if payload cannot be encoded.
func (c *Chat) Emit(payload any) { c.append(true, encode(payload)) }

// EmitUnnumbered sends payload without an id to the streams that are open now. It
// does not appear in transcripts or replays.
func (c *Chat) EmitUnnumbered(payload any) { c.append(false, encode(payload)) }

// append logs payloads, a few at a time so that a long answer does not block other
// calls.
func (c *Chat) append(numbered bool, payloads ...[]byte) {
	for chunk := range slices.Chunk(payloads, 256) {
		c.locked(func() {
			for _, payload := range chunk {
				c.session.append(c.server.seqStep, payload, numbered)
			}
			c.server.notify()
		})
	}
}

// locked runs fn while holding the server's mutex. It ends the goroutine if the
// sandbox is gone.
func (c *Chat) locked(fn func()) {
	c.server.mu.Lock()
	defer c.server.mu.Unlock()
	if c.box.ctx.Err() != nil {
		runtime.Goexit()
	}
	fn()
}

// wait logs the payload of a prompt, with text as its summary, and waits for the
// reply.
func (c *Chat) wait(text string, payload func(*prompt) any, permission bool) reply {
	p := &prompt{permission: permission, reply: make(chan reply, 1), summary: summary(text)}
	c.locked(func() {
		s := c.server
		p.id, p.requestID = s.secret(newID("prm_")), s.secret(newID("req_"))
		if permission {
			p.toolUseID = s.secret(newID("toolu_"))
		}
		c.session.prompts = append(c.session.prompts, p)
		c.session.append(s.seqStep, encode(payload(p)), true)
		p.event = c.session.feed[len(c.session.feed)-1]
		s.notify()
	})
	select {
	case r := <-p.reply:
		return r
	case <-c.box.ctx.Done():
		runtime.Goexit()
		panic("unreachable")
	}
}

// A Case is an agent's behavior if a word is in the prompt.
type Case struct {
	Word   string
	Script Script
}

// Cases selects a script by the words of the prompt.
type Cases []Case

// Or returns a script that runs the first case whose word begins a word of the
// prompt, ignoring case ("table" matches "Tables, please"). If there is none it
// runs fallback.
func (cs Cases) Or(fallback Script) Script {
	return func(c *Chat) {
		words := strings.FieldsFunc(strings.ToLower(c.Prompt()), func(r rune) bool {
			return !unicode.IsLetter(r) && !unicode.IsDigit(r)
		})
		for _, one := range cs {
			if slices.ContainsFunc(words, func(w string) bool { return strings.HasPrefix(w, strings.ToLower(one.Word)) }) {
				one.Script(c)
				return
			}
		}
		fallback(c)
	}
}

// A phrase is one encoded text.
type phrase struct {
	text   string
	deltas [][]byte
	block  []byte
}

// A phrasebook caches the last phrase, so that a thousand sessions with the same
// long answer share its bytes.
type phrasebook struct {
	mu   sync.Mutex
	last *phrase
}

func (b *phrasebook) lookUp(text string, perDelta int) *phrase {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.last == nil || b.last.text != text {
		p := &phrase{text: text, block: assistant(textBlock(text), false)}
		for some := range slices.Chunk(words(text), perDelta) {
			p.deltas = append(p.deltas, assistant(textBlock(strings.Join(some, "")), true))
		}
		b.last = p
	}
	return b.last
}

// words splits text after white space. Joined, the words are the text.
func words(text string) []string {
	var cut []string
	start, space := 0, false
	for i, r := range text {
		if space && !unicode.IsSpace(r) {
			cut = append(cut, text[start:i])
			start = i
		}
		space = unicode.IsSpace(r)
	}
	if start < len(text) {
		cut = append(cut, text[start:])
	}
	return cut
}

// A block is one part of an assistant payload.
type block struct {
	Type     string          `json:"type"`
	Text     *string         `json:"text,omitempty"`
	Thinking *string         `json:"thinking,omitempty"`
	ID       string          `json:"id,omitempty"`
	Name     string          `json:"name,omitempty"`
	Input    *map[string]any `json:"input,omitempty"`
}

func textBlock(text string) block { return block{Type: "text", Text: &text} }

func assistant(b block, delta bool) []byte {
	type message struct {
		Content []block `json:"content"`
	}
	return encode(struct {
		Type    string  `json:"type"`
		Delta   bool    `json:"delta,omitempty"`
		Message message `json:"message"`
	}{"assistant", delta, message{[]block{b}}})
}

// encode returns v as JSON in one line, with only the required escapes.
func encode(v any) []byte {
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		panic(fmt.Sprintf("anyframetest: encode a payload: %v", err))
	}
	return bytes.TrimSuffix(buf.Bytes(), []byte("\n"))
}
