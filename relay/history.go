package relay

import (
	"context"
	"iter"

	"github.com/anyframe-relay/relay/anyframe"
	"github.com/anyframe-relay/relay/relay/internal/event"
	"github.com/anyframe-relay/relay/relay/internal/upstream"
)

// history translates what AnyFrame's transcript has after the event numbered after,
// up to and including upto, for one pass. After each page it returns an item that has
// only a Seq: everything up to there was returned. An error ends the sequence.
func (s *session) history(ctx context.Context, after, upto int64) iter.Seq2[event.Item, error] {
	return func(yield func(event.Item, error) bool) {
		t := newTranslator(s.hub.config, s.hub.marks, s.view().epoch, after, s.notes(), true)
		read := func(since int64, limit int) ([]anyframe.ChatEvent, error) { return s.rows(ctx, since, limit) }
		all := func(items []event.Item) bool {
			for _, it := range items {
				if !yield(it, nil) {
					return false
				}
			}
			return true
		}
		for more := true; more; {
			rows, err := read(t.last, historyPage)
			if err == nil && t.last == t.start {
				err = t.joinSpeech(rows, read)
			}
			if err != nil {
				yield(event.Item{}, err)
				return
			}
			more = len(rows) == historyPage
			for _, row := range rows {
				if row.Seq > upto {
					more = false
					break
				}
				if !all(t.step(upstream.Decode(row.Event())).items) {
					return
				}
			}
			if !yield(event.Item{Seq: t.last}, nil) {
				return
			}
		}
		all(t.finish(upto))
	}
}
