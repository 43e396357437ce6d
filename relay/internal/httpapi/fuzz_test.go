package httpapi

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/anyframe-relay/relay/relay/internal/visitor"

	"github.com/anyframe-relay/relay/relay/internal/event"
	"github.com/anyframe-relay/relay/relay/internal/problem"
)

// Every parser here sees bytes that a visitor chose.

func FuzzMessageBody(f *testing.F) {
	for _, body := range []string{
		`{"text":"hi"}`, `{"text":"","attachments":[{"name":"a.txt","mime":"text/plain","data":"aGk="}]}`, `{"text":"a","text":"b"}`, `{"Text":"a"}`,
		`{"text":"\ud800"}`, "{\"text\":\"\xff\"}", `{"attachments":[{"name":"../x","mime":"image/png","data":"iVBORw0KGgo="}]}`, `{"text":7}`, `[`, `null`,
		`{"text":"a"} {}`, strings.Repeat("[", 40), `{"text":"a","attachments":null}`, "\ufeff{}", `{"text":"\u0000"}`,
	} {
		f.Add([]byte(body))
	}
	o := Options{MaxMessage: 1000, MaxAttachment: 1000, MaxAttachments: 4, AttachmentTypes: []string{"image/png", "image/jpeg", "image/gif", "image/webp", "text/*"}}
	f.Fuzz(func(t *testing.T, body []byte) {
		m, err := o.decodeMessage(body)
		if err != nil {
			if p := problem.Of(err); p.Code == problem.Internal.Code || strings.ContainsFunc(p.Detail, func(r rune) bool { return r < ' ' }) || len(p.Detail) > 1000 {
				t.Errorf("%q: got problem %s %q, want one that names the mistake", body, p.Code, p.Detail)
			}
			return
		}
		if !utf8.ValidString(m.text) || len(m.text) > o.MaxMessage || strings.ContainsRune(m.text, 0) || (strings.TrimSpace(m.text) == "" && len(m.attachments) == 0) {
			t.Errorf("%q: got text %q, want it refused", body, m.text)
		}
		if len(m.attachments) > o.MaxAttachments {
			t.Errorf("%q: got %d attachments, want them refused", body, len(m.attachments))
		}
		for _, a := range m.attachments {
			if strings.ContainsAny(a.Name, "/\\\n\r\x00") || a.Name == "" || utf8.RuneCountInString(a.Name) > maxNameRunes || !o.accepts(a.MIME) || len(a.Data)+len(a.Text) > o.MaxAttachment {
				t.Errorf("%q: got attachment %q of %q, %d bytes, want it refused", body, a.Name, a.MIME, len(a.Data)+len(a.Text))
			}
		}
		var loose struct{ Text string }
		if json.Unmarshal(body, &loose) != nil || loose.Text != m.text {
			t.Errorf("%q: got text %q, another parser %q", body, m.text, loose.Text)
		}
	})
}

func FuzzResponseBody(f *testing.F) {
	for _, body := range []string{`{"id":"p1-1","answer":"yes"}`, `{"id":"p1-1","decision":"approve"}`, `{"id":{}}`, `{"id":"\n"}`, `{"":""}`, `{"id":"a","id":"b"}`} {
		f.Add([]byte(body))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		var id, answer, decision string
		err := decodeObject(body, "", fields{"id": &id, "answer": &answer, "decision": &decision})
		if err == nil && !json.Valid(body) {
			t.Errorf("%q: taken, want it refused: it is not JSON", body)
		}
		if err != nil && problem.Of(err).Status != http.StatusBadRequest {
			t.Errorf("%q: got %v, want a bad request", body, err)
		}
	})
}

func FuzzLastEventID(f *testing.F) {
	for _, id := range []string{"1-1", "2-9223372036854775807", "01-1", "+1-1", "1--1", "1-1 ", "-1-1", "1-0", "0-1", "1-99999999999999999999", "１-１", "1-1\x00", ""} {
		f.Add(id)
	}
	f.Fuzz(func(t *testing.T, s string) {
		id, ok := event.ParseID(s)
		if ok && (id.String() != s || id.Epoch < 1 || id.Seq < 1 || len(s) > event.MaxEventIDBytes) {
			t.Errorf("%q: got %v, want it refused", s, id)
		}
		if !ok && id != (event.ID{}) {
			t.Errorf("%q: got %v with a refusal, want nothing", s, id)
		}
	})
}

func FuzzWhoIsAsking(f *testing.F) {
	token := strings.Repeat("A", 43)
	f.Add("__Host-relay_visitor="+token, "", "", "", "relay.test")
	f.Add("", "Bearer "+token, "https://shop.example", "cross-site", "relay.test")
	f.Add("__Host-relay_visitor="+token+"; __Host-relay_visitor="+token, "", "null", "same-origin", "relay.test")
	f.Add(`__Host-relay_visitor="`+token+`"`, "bearer  "+token, "https://a.wild.example", "same-site", "RELAY.test")
	f.Add("__Host-relay_visitor=../x", "Basic x", "http://relay.test", "none", "relay.test:80")
	o := Options{AllowedOrigins: []string{"https://shop.example", "https://*.wild.example"}}
	s := &api{options: o, publicOrigin: "https://chat.example"}
	f.Fuzz(func(t *testing.T, cookie, authorization, from, site, host string) {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/v1/visitor", nil)
		r.Host = host
		r.Header = http.Header{"Cookie": {cookie}, "Authorization": {authorization}, "Origin": {from}, "Sec-Fetch-Site": {site}}
		tokens, byBearer := s.candidates(r), strings.EqualFold(authorization[:min(len(authorization), 7)], "bearer ")
		standing := s.originOf(r)
		if len(tokens) > maxTokens {
			t.Errorf("got %d tokens, want %d at most", len(tokens), maxTokens)
		}
		for _, got := range tokens {
			switch {
			case !visitor.ValidToken(got):
				t.Errorf("got token %q, want none", got)
			case byBearer && !strings.Contains(authorization, got), !byBearer && !strings.Contains(cookie, got):
				t.Errorf("got token %q, which nobody sent", got)
			case !byBearer && standing != originOurs && standing != originNone:
				t.Errorf("the cookie counts for a page of %q, site %q", from, site)
			case !byBearer && !strings.EqualFold(strings.TrimSuffix(host, ":443"), "chat.example") && !isAddress(host):
				t.Errorf("the cookie counts for host %q", host)
			}
		}
		listed := from == "https://shop.example" || strings.HasPrefix(from, "https://") && strings.HasSuffix(from, ".wild.example")
		if standing == originAllowed && !listed {
			t.Errorf("origin %q is allowed, want only those on the list", from)
		}
		if from == "null" && site != "same-origin" && standing != originForeign {
			t.Errorf("origin null, site %q: got %v, want it foreign", site, standing)
		}
	})
}

func FuzzOriginSetting(f *testing.F) {
	for _, o := range []string{"https://shop.example", "https://*.shop.example", "*", "https://[::1]:80", "https://a b", "https://a;x", "https://*", "null"} {
		f.Add(o)
	}
	f.Fuzz(func(t *testing.T, o string) {
		if ValidOriginPattern(o) && strings.ContainsAny(o, " ;,'\"\\\r\n\t<>") {
			t.Errorf("%q: taken, want it refused: it goes into headers", o)
		}
	})
}
