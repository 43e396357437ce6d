package operate

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/anyframe-relay/relay/cmd/relay/internal/probe"
)

// said is one event of a transcript.
type said struct {
	Event string
	Data  struct {
		Text        *string
		Delta       bool
		Attachments []struct{ Name string }

		Name, State, Summary  string
		Question, Tool        string
		Options               []string
		Input                 json.RawMessage
		Outcome, Reason, Code string
		Rating                string
	}
}

// transcript shows one page of a conversation.
func transcript(ctx context.Context, c *client, args []string, o *options) (json.RawMessage, string, error) {
	q := url.Values{"since": {strconv.FormatInt(o.since, 10)}, "limit": {strconv.Itoa(o.limit)}}
	answer, err := c.call(ctx, "GET", of(args[0])+"/transcript?"+q.Encode(), nil)
	if err != nil {
		return answer, "", err
	}
	var page struct {
		Events []said
		Next   *int64 `json:"next_since"`
	}
	if err := json.Unmarshal(answer, &page); err != nil {
		return answer, "", fmt.Errorf("read the response: %w", err)
	}
	var b strings.Builder
	for _, m := range messages(page.Events) {
		line(&b, m.who, m.what)
	}
	if page.Next != nil {
		fmt.Fprintf(&b, "More events: --since %d\n", *page.Next)
	}
	return answer, strings.TrimRight(b.String(), "\n"), nil
}

// message is a part of a transcript as it is printed.
type message struct{ who, what string }

// messages returns what to print of events. A whole block of text that equals the deltas
// since the last block or turn_end replaces them, whatever is between. A visitor may write
// or rate something while the agent is answering.
func messages(events []said) []message {
	var out []message
	deltas := -1 // index of the message with the current deltas; -1 for none
	for _, e := range events {
		who, what := e.words()
		switch {
		case e.Event == "text" && e.Data.Delta && deltas >= 0:
			out[deltas].what += what
			continue
		case e.Event == "text" && e.Data.Delta:
			deltas = len(out)
		case e.Event == "text":
			whole := deltas >= 0 && out[deltas].what == what
			deltas = -1
			if whole {
				continue
			}
		case e.Event == "turn_end":
			deltas = -1
		}
		if what != "" || deltas == len(out) {
			out = append(out, message{who, what})
		}
	}
	return slices.DeleteFunc(out, func(m message) bool { return m.what == "" })
}

// words returns who caused an event and its text, "" for events that are not shown.
func (e *said) words() (who, what string) {
	d := &e.Data
	switch e.Event {
	case "text":
		if d.Text != nil {
			what = *d.Text
		}
		return "agent", what
	case "user":
		if d.Text != nil {
			what = *d.Text
		}
		for _, a := range d.Attachments {
			what += "\n[" + a.Name + "]"
		}
		return "visitor", strings.TrimPrefix(what, "\n")
	case "tool":
		return "tool", strings.TrimSpace(d.Name + " " + d.State + " " + d.Summary)
	case "question":
		return "question", strings.Join(append([]string{d.Question}, d.Options...), "\n- ")
	case "approval":
		return "permission", strings.TrimSpace(cmp.Or(d.Tool, "(operator decides)") + " " + string(d.Input))
	case "settled":
		return "answer", d.Outcome
	case "turn_end":
		return "turn", strings.TrimSpace(d.Reason + " " + d.Code)
	case "feedback":
		return "rated", d.Rating
	}
	return "", ""
}

// line writes a message, indenting further lines below the first. It escapes characters
// that a terminal would interpret, because the text is not trusted.
func line(b *strings.Builder, who, what string) {
	for i, part := range strings.Split(strings.TrimRight(what, "\n"), "\n") {
		if i > 0 {
			who = ""
		}
		fmt.Fprintln(b, strings.TrimRight(fmt.Sprintf("%-12s%s", who, probe.Printable(part)), " "))
	}
}
