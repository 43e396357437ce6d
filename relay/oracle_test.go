package relay_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
)

// told is a line of the oracle: what a visitor must receive for one row of the control
// plane's own log.
type told struct{ id, kind, text string }

func (o told) String() string { return o.id + " " + o.kind + " " + o.text }

// oracle returns what a visitor who sees the chat must have received of a session,
// derived from the control plane's log alone.
func (r *harness) oracle(epoch int, id string) []told {
	r.t.Helper()
	var out []told
	for _, row := range r.plane.Log(id) {
		var p struct {
			Type, Text, Question string
			Delta                bool
			Message              struct {
				Content []struct{ Type, Text string }
			}
		}
		if err := json.Unmarshal(row.Payload, &p); err != nil {
			r.t.Fatal(err)
		}
		o := told{id: fmt.Sprintf("%d-%d", epoch, row.Seq)}
		switch p.Type {
		case "user_message":
			o.kind, o.text = "user", p.Text
		case "assistant":
			for _, b := range p.Message.Content {
				if b.Type == "text" {
					o.text += b.Text
				}
			}
			if o.kind = "text"; p.Delta {
				o.kind = "delta"
			}
			if o.text == "" {
				continue
			}
		case "ask_user_question":
			o.kind, o.text = "question", p.Question
		case "permission_request":
			o.kind = "approval"
		case "result":
			o.kind, o.text = "turn_end", "done"
		case "_error":
			o.kind, o.text = "turn_end", "failed"
		default:
			continue
		}
		out = append(out, o)
	}
	return out
}

// numbered returns a stream's numbered events in the oracle's form.
func numbered(events []event) []told {
	var out []told
	for _, e := range events {
		if e.id != "" {
			out = append(out, inWords(e))
		}
	}
	return out
}

func inWords(e event) told {
	o := told{id: e.id, kind: e.kind}
	switch e.kind {
	case "user":
		o.text = e.str("text")
	case "text":
		o.text = e.str("text")
		if delta, _ := e.json["delta"].(bool); delta {
			o.kind = "delta"
		}
	case "question":
		o.text = e.str("question")
	case "turn_end":
		o.text = e.str("reason")
	}
	return o
}

func after(all []told, id string) []told {
	i := slices.IndexFunc(all, func(o told) bool { return o.id == id })
	return all[i+1:]
}

// same fails the test unless got equals want.
func same(t *testing.T, what string, got, want []told) {
	t.Helper()
	if slices.Equal(got, want) {
		return
	}
	i := 0
	for i < min(len(got), len(want)) && got[i] == want[i] {
		i++
	}
	t.Fatalf("%s: differ at %d: got %d events\n%swant %d\n%s", what, i, len(got), lines(got[i:min(len(got), i+8)]), len(want), lines(want[i:min(len(want), i+8)]))
}

// shown returns the text of the agent's last answer as a browser shows it, by the
// documented rules of the stream.
func shown(events []event) string {
	var blocks []string
	open := ""
	for _, e := range events {
		switch e.kind {
		case "reset":
			blocks, open = nil, ""
		case "text":
			if delta, _ := e.json["delta"].(bool); delta {
				open += e.str("text")
				continue
			}
			if open != e.str("text") && open != "" {
				blocks = append(blocks, open)
			}
			blocks, open = append(blocks, e.str("text")), ""
		}
	}
	return strings.Join(append(blocks, open), "")
}

// matches waits until the tab has as many numbered events as the oracle, and fails the
// test unless they are equal and there was no reset.
func (x *stream) matches(what string, want []told) []event {
	x.t.Helper()
	got := x.until(what, func(es []event) bool { return len(numbered(es)) >= len(want) })
	same(x.t, what, numbered(got), want)
	if n := count(got, "reset"); n != 0 {
		x.t.Fatalf("%s: got %d resets, want none", what, n)
	}
	return got
}

// answers returns what a browser shows of the agent's answers, turn by turn, by the
// documented rules of the stream.
func answers(events []event) []string {
	var all []string
	var turn []event
	for _, e := range events {
		switch turn = append(turn, e); e.kind {
		case "reset":
			all, turn = nil, nil
		case "turn_end":
			all, turn = append(all, shown(turn)), nil
		}
	}
	if rest := shown(turn); rest != "" {
		all = append(all, rest)
	}
	return all
}

func wantAnswers(t *testing.T, what string, events []event, want ...string) {
	t.Helper()
	if got := answers(events); !slices.Equal(got, want) {
		t.Errorf("%s: shown answers: got %q, want %q", what, got, want)
	}
}

// upstream returns the id of the visitor's newest session on the control plane.
func (r *harness) upstream() string {
	r.t.Helper()
	all := r.plane.Sessions()
	if len(all) == 0 {
		r.t.Fatal("the control plane has no session")
	}
	newest := all[0]
	for _, s := range all {
		if s.CreatedAt.After(newest.CreatedAt) {
			newest = s
		}
	}
	return newest.ID
}
