package stream

import (
	"testing"

	"github.com/anyframe-relay/relay/relay/internal/event"
	"github.com/anyframe-relay/relay/relay/internal/eventlog"
)

// wakeup wakes a goroutine, as a stream in its handler is woken.
type wakeup chan struct{}

func (w wakeup) OnAppend() {
	select {
	case w <- struct{}{}:
	default:
	}
}

// BenchmarkWake measures an event for a reader that waits in a goroutine.
func BenchmarkWake(b *testing.B) {
	src, wake, read := newFakeSource(), make(wakeup, 1), make(chan struct{})
	var watch eventlog.Watch
	src.watchers.Add(&watch, wake)
	go func() {
		var buf [batch]eventlog.Entry
		for pos := int64(0); ; {
			n, next, err := src.log.Read(pos, buf[:])
			if err != nil {
				return
			}
			if pos = next; n > 0 {
				read <- struct{}{}
				continue
			}
			<-wake
		}
	}()
	defer src.log.Close()
	frame := make([]byte, 100)
	b.ReportAllocs()
	for seq := int64(1); b.Loop(); seq++ {
		src.log.Append(eventlog.Entry{Seq: seq, Frame: frame})
		<-read
	}
}

// BenchmarkWrite measures an event for idle streams.
func BenchmarkWrite(b *testing.B) {
	for name, tabs := range map[string]int{"1": 1, "100": 100} {
		b.Run(name+"-tabs", func(b *testing.B) {
			src, _, browsers := newIdleStreams(b, tabs)
			discardAll(browsers)
			frame := event.TextFrame(event.ID{Epoch: 1, Seq: 1}, event.TextData{Text: "the quick brown fox", Delta: true})
			b.ReportAllocs()
			for seq := int64(1); b.Loop(); seq++ {
				src.log.Append(eventlog.Entry{Seq: seq, Frame: frame})
			}
		})
	}
}
