package relay

import (
	"testing"

	"github.com/anyframe-relay/relay/relay/internal/event"
	"github.com/anyframe-relay/relay/relay/internal/eventlog"
	"github.com/anyframe-relay/relay/relay/internal/redact"
	"github.com/anyframe-relay/relay/relay/internal/upstream"
)

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

func BenchmarkAppend(b *testing.B) {
	l := eventlog.New(0, eventlog.Limits{Events: 2000, Bytes: 1 << 20})
	frame := make([]byte, 100)
	b.ReportAllocs()
	for seq := int64(1); b.Loop(); seq++ {
		l.Append(eventlog.Entry{Seq: seq, Frame: frame})
	}
}

// BenchmarkWake is an event for somebody who waits as the standard library's
// connections make one wait.
func BenchmarkWake(b *testing.B) {
	l := eventlog.New(0, eventlog.Limits{Events: 2000, Bytes: 1 << 20})
	woken := make(chan struct{})
	defer l.Close()
	go func() {
		var buf [batch]eventlog.Entry
		for pos := int64(0); ; {
			changed := l.Changed()
			n, next, err := l.Read(pos, buf[:])
			if err != nil {
				return
			}
			if pos = next; n > 0 {
				woken <- struct{}{}
				continue
			}
			<-changed
		}
	}()
	frame := make([]byte, 100)
	b.ReportAllocs()
	for seq := int64(1); b.Loop(); seq++ {
		l.Append(eventlog.Entry{Seq: seq, Frame: frame})
		<-woken
	}
}

func BenchmarkWrite(b *testing.B) {
	for name, tabs := range map[string]int{"1": 1, "100": 100} {
		b.Run(name+"-tabs", func(b *testing.B) {
			sess, ends := crowd(b, tabs)
			drainAll(ends)
			frame := event.TextFrame(event.ID{Epoch: 1, Seq: 1}, event.TextData{Text: "the quick brown fox", Delta: true})
			b.ReportAllocs()
			for seq := int64(1); b.Loop(); seq++ {
				sess.log.Append(eventlog.Entry{Seq: seq, Frame: frame})
			}
		})
	}
}
