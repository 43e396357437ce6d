package past

import (
	"bytes"
	"encoding/json"
	"strconv"

	"github.com/anyframe-relay/relay/relay/internal/event"
	"github.com/anyframe-relay/relay/relay/internal/feedback"
)

const (
	// MaxPage is the maximum size of one page's events in bytes. A larger event is alone
	// on its page.
	MaxPage = 1 << 20
	// pageOverhead is the size of a page besides its events, in bytes.
	pageOverhead = 64

	pageStart = `{"events":[`
)

// pastEvent is one event of the past, as it would appear on the stream.
type pastEvent struct {
	ID    *string `json:"id"`
	Event string  `json:"event"`
	Data  any     `json:"data"`
}

func encode(epoch int64, it *event.Item) ([]byte, error) {
	e := pastEvent{Event: it.Kind, Data: it.Payload()}
	if it.Seq != 0 {
		e.ID = new(event.ID{Epoch: epoch, Seq: it.Seq}.String())
	}
	return json.Marshal(e)
}

// Page builds a page of events as JSON. The zero Page is empty.
type Page struct {
	body  []byte
	shown bool         // it has an event
	last  int64        // the highest seq of its events
	row   bytes.Buffer // scratch
	err   error        // from the first row that could not be encoded
}

// Add adds the items of a row, and reports whether they fit. The first row always does.
func (p *Page) Add(epoch int64, row []event.Item) bool {
	p.row.Reset()
	for i := range row {
		if p.shown || i > 0 {
			p.row.WriteByte(',')
		}
		encoded, err := encode(epoch, &row[i])
		if err != nil {
			p.err = err
			return false
		}
		p.row.Write(encoded)
	}
	if p.shown && len(pageStart)+len(p.body)+p.row.Len() > MaxPage-pageOverhead {
		return false
	}
	p.body = append(p.body, p.row.Bytes()...)
	p.shown = true
	for i := range row {
		p.last = max(p.last, row[i].Seq)
	}
	return true
}

// AddLast adds the items after the last event of an epoch; the page has the events after
// since. If they do not fit, they get a page of their own, which begins at next.
func (p *Page) AddLast(epoch, since int64, items []event.Item) (next *int64) {
	if len(items) == 0 || p.Add(epoch, items) {
		return nil
	}
	return new(max(since, p.last))
}

// Ratings returns a visitor's ratings in an epoch as events.
func Ratings(words []feedback.Word, epoch int64) (items []event.Item) {
	for _, w := range words {
		if w.Epoch == epoch && w.Rating != feedback.None {
			items = append(items, event.Item{Kind: "feedback", Data: event.FeedbackOf(w.Turn, w.Rating)})
		}
	}
	return items
}

// Close returns the document. Next is where the next page begins, nil at the end.
func (p *Page) Close(next *int64) ([]byte, error) {
	if p.err != nil {
		return nil, p.err
	}
	end := []byte("null")
	if next != nil {
		end = strconv.AppendInt(nil, *next, 10)
	}
	// Copied to the exact size, because it is held for as long as the client reads.
	return bytes.Join([][]byte{[]byte(pageStart), p.body, []byte(`],"next_since":`), end, []byte("}\n")}, nil), nil
}
