package message

import (
	"encoding/json"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/anyframe-relay/relay/relay/internal/problem"
)

// The parser's input is chosen by the visitor.

func FuzzMessageBody(f *testing.F) {
	for _, body := range []string{
		`{"text":"hi"}`, `{"text":"","attachments":[{"name":"a.txt","mime":"text/plain","data":"aGk="}]}`, `{"text":"a","text":"b"}`, `{"Text":"a"}`,
		`{"text":"\ud800"}`, "{\"text\":\"\xff\"}", `{"attachments":[{"name":"../x","mime":"image/png","data":"iVBORw0KGgo="}]}`, `{"text":7}`, `[`, `null`,
		`{"text":"a"} {}`, strings.Repeat("[", 40), `{"text":"a","attachments":null}`, "\ufeff{}", `{"text":"\u0000"}`,
	} {
		f.Add([]byte(body))
	}
	l := Limits{MaxMessage: 1000, MaxAttachment: 1000, MaxAttachments: 4, AttachmentTypes: []string{"image/png", "image/jpeg", "image/gif", "image/webp", "text/*"}}
	f.Fuzz(func(t *testing.T, body []byte) {
		m, err := l.Decode(body)
		if err != nil {
			if p := problem.Of(err); p.Code == problem.Internal.Code || strings.ContainsFunc(p.Detail, func(r rune) bool { return r < ' ' }) || len(p.Detail) > 1000 {
				t.Errorf("%q: got problem %s %q, want one that names the mistake", body, p.Code, p.Detail)
			}
			return
		}
		if !utf8.ValidString(m.Text) || len(m.Text) > l.MaxMessage || strings.ContainsRune(m.Text, 0) || (strings.TrimSpace(m.Text) == "" && len(m.Attachments) == 0) {
			t.Errorf("%q: got text %q, want it refused", body, m.Text)
		}
		if len(m.Attachments) > l.MaxAttachments {
			t.Errorf("%q: got %d attachments, want them refused", body, len(m.Attachments))
		}
		for _, a := range m.Attachments {
			if strings.ContainsAny(a.Name, "/\\\n\r\x00") || a.Name == "" || utf8.RuneCountInString(a.Name) > maxNameRunes || !l.accepts(a.MIME) || len(a.Data)+len(a.Text) > l.MaxAttachment {
				t.Errorf("%q: got attachment %q of %q, %d bytes, want it refused", body, a.Name, a.MIME, len(a.Data)+len(a.Text))
			}
		}
		var loose struct{ Text string }
		if json.Unmarshal(body, &loose) != nil || loose.Text != m.Text {
			t.Errorf("%q: got text %q, another parser %q", body, m.Text, loose.Text)
		}
	})
}
