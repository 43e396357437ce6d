package upstream_test

import (
	"testing"

	"github.com/anyframe-relay/relay/anyframe"
	"github.com/anyframe-relay/relay/relay/internal/upstream"
)

func BenchmarkParse(b *testing.B) {
	ev := anyframe.Event{Seq: 1, Data: []byte(`{"type":"assistant","delta":true,"message":{"content":[{"type":"text","text":"the quick brown fox"}]}}`)}
	b.ReportAllocs()
	for b.Loop() {
		upstream.Decode(ev)
	}
}
