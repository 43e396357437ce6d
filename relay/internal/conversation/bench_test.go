package conversation

import (
	"log/slog"
	"testing"

	"github.com/anyframe-relay/relay/anyframe"
	"github.com/anyframe-relay/relay/relay/internal/event"
	"github.com/anyframe-relay/relay/relay/internal/eventlog"
	"github.com/anyframe-relay/relay/relay/internal/ledger"
	"github.com/anyframe-relay/relay/relay/internal/redact"
	"github.com/anyframe-relay/relay/relay/internal/store/memory"
	"github.com/anyframe-relay/relay/relay/internal/telemetry"
	"github.com/anyframe-relay/relay/relay/internal/upstream"
)

// fed returns one numbered delta, as AnyFrame sends it.
func fed(seq int64) anyframe.Event {
	return anyframe.Event{Seq: seq, Data: []byte(`{"type":"assistant","delta":true,"message":{"content":[{"type":"text","text":"the quick brown fox"}]}}`)}
}

func BenchmarkTranslate(b *testing.B) {
	t := newTestTranslator(event.VisibilityChat, false, newTestLedger())
	b.ReportAllocs()
	var ev upstream.Event
	for seq := int64(1); b.Loop(); seq++ {
		ev = upstream.Decode(fed(seq))
		t.step(&ev)
		if seq%100 == 0 {
			t.pending.Reset() // a block has arrived
		}
	}
}

func newTestConversation(limits eventlog.Limits) *Conversation {
	o := &Options{Visibility: event.VisibilityChat, Patterns: redact.KeyPatterns(canary), Limits: limits}
	l := ledger.New(ledger.Options{Notes: memory.New()}, "visitor", 1, 0, slog.New(slog.DiscardHandler))
	return New(o, 1, "session", 0, l, func() {}, &telemetry.AnswerSpan{})
}

func BenchmarkApply(b *testing.B) {
	c := newTestConversation(eventlog.Limits{Events: 2000, Bytes: 1 << 20, Compact: event.CompactDeltas})
	b.ReportAllocs()
	var ev upstream.Event
	for seq := int64(1); b.Loop(); seq++ {
		ev = upstream.Decode(fed(seq))
		c.Apply(b.Context(), &ev)
	}
}

func TestApply_Delta_AllocatesItsTextAndItsFrame(t *testing.T) {
	c := newTestConversation(eventlog.Limits{Events: 2000, Bytes: 1 << 20, Compact: event.CompactDeltas})
	raw := fed(0)
	var ev upstream.Event
	got := testing.AllocsPerRun(500, func() {
		raw.Seq++
		ev = upstream.Decode(raw)
		c.Apply(t.Context(), &ev)
	})
	if got > 2.5 { // the text, the frame, and occasionally the growth of the log and the pending text
		t.Errorf("got %v allocations an event, want 2", got)
	}
}
