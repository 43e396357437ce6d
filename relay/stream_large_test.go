//go:build !race

package relay_test

import (
	"strings"
	"testing"

	"github.com/anyframe-relay/relay/anyframe/anyframetest"
	"github.com/anyframe-relay/relay/relay"
)

// TestStream_LargeEvents_NoFrameOver4MiB lets an agent say and ask more at once than a
// browser accepts.
func TestStream_LargeEvents_NoFrameOver4MiB(t *testing.T) {
	t.Parallel()
	large := strings.Repeat("the quick brown fox ", 4<<20/20)
	larger := strings.Repeat("jumps over the dog, ", 5<<20/20)
	r := newHarness(t, func(c *relay.Config) { c.Visibility, c.VisitorApprovals = relay.VisibilityFull, true }, anyframetest.WithAgent(1, func(c *anyframetest.Chat) {
		for at := 0; at < len(large); at += 1 << 20 {
			c.Emit(pieceOf(large[at:min(at+1<<20, len(large))], true))
		}
		c.Emit(pieceOf(large, false))
		c.Emit(pieceOf(larger, false))
		c.Emit(map[string]any{"type": "weather", "sky": larger})
		c.Permit("Bash", map[string]any{"command": large})
	}))
	v := r.visitor()
	x := v.open("")
	v.insist("hello", "k1")
	if a := v.do("POST", "/v1/responses", `{"id":`+quote(x.prompt("approval"))+`,"decision":"approve"}`); a.status != 202 {
		t.Fatalf("the decision: got %d %s, want 202", a.status, a.body)
	}
	live := x.turnEnds(1)
	if len(resets(live)) != 0 {
		t.Errorf("got the stream reset, want the large event whole")
	}
	for name, events := range map[string][]event{"live": live, "later": v.open("").turnEnds(1)} {
		if got := shown(events); got != large+larger {
			t.Errorf("%s: got %d bytes of text, want the %d that were said", name, len(got), len(large)+len(larger))
		}
		for _, e := range events {
			if len(e.data) > 4<<20 {
				t.Errorf("%s: got %s of %d bytes, want 4 MiB at most", name, e.kind, len(e.data))
			}
			if (e.kind == "approval" || e.kind == "upstream" && len(e.data) > 1000) && e.json["truncated"] != true {
				t.Errorf("%s: got %s of %.80s, want it to say that it is truncated", name, e.kind, e.data)
			}
		}
		if count(events, "approval") != 1 || count(events, "upstream") == 0 {
			t.Errorf("%s: got %d approvals and %d upstream, want both", name, count(events, "approval"), count(events, "upstream"))
		}
	}
}

func TestTranscript_EventLargerThanPage_AloneOnItsPage(t *testing.T) {
	t.Parallel()
	r := newHarness(t, nil, anyframetest.WithAgent(1, func(c *anyframetest.Chat) {
		for _, size := range []int{10, 3 << 20, 10, 10, 2 << 20, 2 << 20} {
			c.Emit(map[string]any{"type": "assistant", "message": map[string]any{"content": []any{map[string]any{"type": "text", "text": strings.Repeat("x", size)}}}})
		}
	}))
	v := r.visitor()
	x := v.open("")
	v.say("hi", "k1")
	x.turnEnds(1)
	got, sizes := v.pages(1000)
	if want := wholeStory(x); strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	large := 0
	for _, size := range sizes {
		if size > pageLimit {
			large++
		}
	}
	if large != 3 || len(sizes) != 6 {
		t.Errorf("got pages of %v bytes, want the small ones together and each large one alone", sizes)
	}
}
