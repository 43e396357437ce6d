package relay_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/anyframe-relay/relay/anyframe/anyframetest"
	"github.com/anyframe-relay/relay/relay"
)

func pieceOf(text string, delta bool) map[string]any {
	return map[string]any{"type": "assistant", "delta": delta, "content": []map[string]any{{"type": "text", "text": text}}}
}

// TestMasking_KeyInAgentText_MaskedFromAnyStart lets an agent say the relay's key in
// pieces, and a browser reconnect after each of them.
func TestMasking_KeyInAgentText_MaskedFromAnyStart(t *testing.T) {
	t.Parallel()
	const text = "The key is " + canary + ", keep it."
	const want = "The key is afm_…, keep it."
	for name, numbered := range map[string]bool{"numbered": true, "unnumbered": false} {
		for replay, kept := range map[string]int{"all kept": 2000, "little kept": 3} {
			t.Run(name+", "+replay, func(t *testing.T) {
				t.Parallel()
				disk := sqliteFile(t)
				r := newHarness(t, func(c *relay.Config) { disk(c); c.ReplayEvents = kept }, anyframetest.WithKey(canary), anyframetest.WithAgent(1, func(c *anyframetest.Chat) {
					for rest := text; rest != ""; {
						n := min(3, len(rest))
						if numbered {
							c.Emit(pieceOf(rest[:n], true))
						} else {
							c.EmitUnnumbered(pieceOf(rest[:n], true))
						}
						rest = rest[n:]
					}
					c.Emit(pieceOf(text, false))
				}))
				v := r.visitor()
				x := v.open("")
				v.say("hello", "k1")
				live := x.turnEnds(1)
				check := func(what string, events []event, raw string) {
					t.Helper()
					for i := 4; i+4 <= len(canary); i++ {
						if strings.Contains(raw, canary[i:i+4]) {
							t.Fatalf("%s: got %q of the key in\n%s", what, canary[i:i+4], raw)
						}
					}
					if got := shown(events); got != want {
						t.Fatalf("%s: shows %q, want %q", what, got, want)
					}
				}
				check("live", live, x.text())
				ids := []string{""}
				for _, o := range numberedOf(live) {
					ids = append(ids, o.id)
				}
				resume := func(when string) {
					t.Helper()
					for i, id := range ids[:len(ids)-1] {
						y := v.open(id)
						rest := y.turnEnds(1)
						// What a browser has and keeps, and what follows it.
						all := append(upTo(live, i), rest...)
						check(fmt.Sprintf("%s, after %q", when, id), all, x.text()+y.text())
						y.close()
						var seq int
						if _, err := fmt.Sscanf(id, "1-%d", &seq); err == nil {
							a := v.do("GET", fmt.Sprintf("/v1/transcript?since=%d", seq), "")
							check(fmt.Sprintf("%s, transcript after %d", when, seq), append(upTo(live, i), past(t, a.body)...), a.body)
						}
					}
				}
				resume("from the same relay")
				x.close()
				r.restart()
				resume("from one that has started again")
			})
		}
	}
}

func (x *stream) text() string {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.raw.String()
}

func numberedOf(events []event) (out []event) {
	for _, e := range events {
		if e.id != "" {
			out = append(out, e)
		}
	}
	return out
}

// upTo returns what a browser keeps that has received n numbered events.
func upTo(events []event, n int) []event {
	for i, e := range events {
		if n == 0 {
			break
		}
		if e.id != "" {
			if n--; n == 0 {
				return slices.Clone(events[:i+1])
			}
		}
	}
	return nil
}

// past reads the events of a transcript.
func past(t *testing.T, body string) (out []event) {
	t.Helper()
	var page struct {
		Events []struct {
			ID    string
			Event string
			Data  json.RawMessage
		}
	}
	if err := json.Unmarshal([]byte(body), &page); err != nil {
		t.Fatal(err)
	}
	for _, e := range page.Events {
		got := event{id: e.ID, kind: e.Event, data: string(e.Data)}
		_ = json.Unmarshal(e.Data, &got.json)
		out = append(out, got)
	}
	return out
}
