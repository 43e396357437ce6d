package relay

import (
	"bytes"
	"sync/atomic"

	"github.com/anyframe-relay/relay/anyframe"
	"github.com/anyframe-relay/relay/relay/internal/jsonscan"
)

const (
	// maxForm is how much there may be around an event's text, in bytes.
	maxForm = 1 << 10
	// learnAfter is how many deltas are read the long way before what is around
	// their text is looked at again: it may be another every time.
	learnAfter = 64
	// probe is put in the place of a text to see that this is where it was.
	probe = "the text that stands here"
)

// form is what is around the text in the deltas of a stream, which differ in
// nothing else. An event of a known form needs no reading: with its text between
// the same bytes, it says the same of it.
type form struct{ before, after []byte }

// forms is the form of the deltas that came last, of whatever session.
type forms struct {
	last    atomic.Pointer[form]
	strange atomic.Uint32 // deltas of another form
}

// hear is the function of this name, quicker with an event of the known form.
func (f *forms) hear(ev anyframe.Event) heard {
	if last := f.last.Load(); last != nil {
		if text := last.text(ev.Data); text != "" {
			return heard{Event: ev, kind: anyframe.TypeAssistant, valid: true, delta: text}
		}
	}
	h := hear(ev)
	if h.delta != "" && f.strange.Add(1)%learnAfter == 1 {
		f.learn(ev.Data, h.delta)
	}
	return h
}

// text returns the text of a delta of this form, "" for any other event and for
// a text that is not written plainly.
func (f *form) text(data []byte) string {
	n := len(data) - len(f.before) - len(f.after)
	if n <= 0 || len(data) > maxEventBytes || !bytes.HasPrefix(data, f.before) || !bytes.HasSuffix(data, f.after) {
		return ""
	}
	inside := data[len(f.before) : len(f.before)+n]
	if jsonscan.Plain(inside) < n {
		return ""
	}
	return string(inside)
}

// learn takes the form of a delta, if its text is written plainly.
func (f *forms) learn(data []byte, text string) {
	at := bytes.Index(data, []byte(`"`+text+`"`)) + 1
	if at == 0 || len(data)-len(text) > maxForm || text == probe {
		return
	}
	now := &form{bytes.Clone(data[:at]), bytes.Clone(data[at+len(text):])}
	if got, delta, _ := plainText(bytes.Join([][]byte{now.before, now.after}, []byte(probe))); delta && got == probe {
		f.last.Store(now)
	}
}
