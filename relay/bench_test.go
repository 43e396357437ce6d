package relay

import (
	"testing"

	"github.com/anyframe-relay/relay/anyframe"
	"github.com/anyframe-relay/relay/relay/internal/redact"
	"github.com/anyframe-relay/relay/relay/internal/upstream"
)

// fed is one numbered delta, as it comes from AnyFrame.
func fed(seq int64) anyframe.Event {
	return anyframe.Event{Seq: seq, Data: []byte(`{"type":"assistant","delta":true,"message":{"content":[{"type":"text","text":"the quick brown fox"}]}}`)}
}

func BenchmarkParse(b *testing.B) {
	ev := fed(1)
	b.ReportAllocs()
	for b.Loop() {
		upstream.Decode(ev)
	}
}

func BenchmarkTranslate(b *testing.B) {
	c := DefaultConfig()
	t := newTranslator(&c, redact.KeyPatterns(testMarked), 1, 0, &notebook{}, false)
	b.ReportAllocs()
	for seq := int64(1); b.Loop(); seq++ {
		t.step(upstream.Decode(fed(seq)))
		if seq%100 == 0 {
			t.said.Reset() // a block has come
		}
	}
}
