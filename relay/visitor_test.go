package relay_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/anyframe-relay/relay/anyframe/anyframetest"
	"github.com/anyframe-relay/relay/relay"
)

func TestVisitor_Introduce_TokenCarrierFitsCaller(t *testing.T) {
	d := newOffline(t, func(c *relay.Config) { c.AllowedOrigins = []string{"https://shop.example"} })
	const ours, theirs = "http://relay.test", "https://shop.example"
	for name, tt := range map[string]struct {
		body    string
		headers []string
		want    string // bearer, cookie, or the refusal
	}{
		"no origin":                      {`{}`, nil, "cookie"},
		"our origin":                     {`{}`, []string{"Origin", ours}, "cookie"},
		"our page by Sec-Fetch-Site":     {`{}`, []string{"Sec-Fetch-Site", "same-origin"}, "cookie"},
		"an allowed origin":              {`{}`, []string{"Origin", theirs}, "bearer"},
		"bearer, no origin":              {`{"carrier":"bearer"}`, nil, "bearer"},
		"bearer, our origin":             {`{"carrier":"bearer"}`, []string{"Origin", ours}, "bearer"},
		"bearer, allowed origin":         {`{"carrier":"bearer"}`, []string{"Origin", theirs}, "bearer"},
		"cookie, no origin":              {`{"carrier":"cookie"}`, nil, "cookie"},
		"cookie, our origin":             {`{"carrier":"cookie"}`, []string{"Origin", ours}, "cookie"},
		"cookie, allowed but not ours":   {`{"carrier":"cookie"}`, []string{"Origin", theirs}, "403 origin_not_allowed"},
		"cookie, not allowed":            {`{"carrier":"cookie"}`, []string{"Origin", "https://evil.example"}, "403 origin_not_allowed"},
		"no such carrier":                {`{"carrier":"pigeon"}`, nil, "400 bad_request"},
		"no such carrier, not ours":      {`{"carrier":"pigeon"}`, []string{"Origin", theirs}, "400 bad_request"},
		"identity, no key to check it":   {`{"identity":"eyJhbGciOiJub25lIn0.e30."}`, nil, "401 identity_invalid"},
		"identity, no key, not our page": {`{"identity":"x","carrier":"bearer"}`, []string{"Origin", theirs}, "401 identity_invalid"},
	} {
		t.Run(name, func(t *testing.T) {
			a := d.ask("POST", "/v1/visitor", tt.body, tt.headers...)
			got := fmt.Sprintf("%d %s", a.status, a.code())
			if a.status == http.StatusOK {
				_, hasToken := a.json["token"]
				switch cookies := a.cookies(); {
				case len(a.token()) == 43 && len(cookies) == 0:
					got = "bearer"
				case hasToken && a.json["token"] == nil && len(cookies) == 1 && len(cookies[0].Value) == 43:
					got = "cookie"
				default:
					got = a.body + fmt.Sprint(a.header)
				}
			} else if len(a.cookies()) != 0 {
				t.Errorf("got cookies %v with a refusal, want none", a.cookies())
			}
			if got != tt.want {
				t.Errorf("got %s, want %s", got, tt.want)
			}
		})
	}
}

func TestVisitor_Introduce_TellsWidgetSettings(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newOffline(t, func(c *relay.Config) {
			c.VisitorTTL, c.MaxMessage, c.MaxAttachments, c.MaxContext = 100*time.Hour, 99, 2, 77
		})
		a := d.ask("POST", "/v1/visitor", `{"carrier":"bearer"}`)
		want := fmt.Sprintf(`{"token":%q,"expires_at":%q,"session":{"status":"none","epoch":0,"agent_busy":false,"last_event_id":null},`+
			`"limits":{"max_message":99,"max_attachment":4194304,"max_attachments":2,`+
			`"attachment_types":["image/png","image/jpeg","image/gif","image/webp","text/*"],"max_context":77},`+
			`"notice":{"text":null,"privacy_url":null},"consent":null,"feedback":false}`+"\n",
			a.token(), time.Now().Add(100*time.Hour).UTC().Format(time.RFC3339))
		if a.body != want {
			t.Errorf("got %s, want %s", a.body, want)
		}
	})
}

func TestVisitor_Returns_Confirmed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newOffline(t, func(c *relay.Config) { c.VisitorTTL = 50 * time.Minute })
		first := d.ask("POST", "/v1/visitor", `{}`).cookies()[0]
		token := first.Value
		for what, headers := range map[string][]string{
			"cookie": {"Cookie", first.Name + "=" + token},
			"bearer": bearer(token),
		} {
			if a := d.ask("POST", "/v1/visitor", `{"carrier":"cookie"}`, headers...); len(a.cookies()) != 1 || a.cookies()[0].Value != token {
				t.Errorf("%s: got cookies %v, want the token that was sent", what, a.cookies())
			}
		}
		if a := d.ask("POST", "/v1/visitor", `{"carrier":"bearer"}`, bearer(token)...); a.token() != token {
			t.Errorf("bearer: got token %q, want the one that was sent", a.token())
		}
		if a := d.ask("POST", "/v1/visitor", `{"carrier":"bearer"}`, "Cookie", first.Name+"="+token); len(a.token()) != 43 || a.token() == token {
			t.Errorf("a script asks for the token of a cookie that it may not read: got %q, want another visitor's", a.token())
		}

		time.Sleep(30 * time.Minute) // of the bubble's time, which costs none
		a := d.ask("POST", "/v1/visitor", `{}`, "Cookie", first.Name+"="+token)
		if got, want := a.json["expires_at"], time.Now().Add(50*time.Minute).UTC().Format(time.RFC3339); got != want {
			t.Errorf("got expires_at %v, want %v", got, want)
		}
		if got := a.cookies(); len(got) != 1 || got[0].Value != token || got[0].MaxAge != int((50*time.Minute).Seconds()) {
			t.Errorf("got cookies %v, want the same for another 50 min", got)
		}
		time.Sleep(30 * time.Minute)
		if a := d.ask("GET", "/v1/session", "", bearer(token)...); a.status != http.StatusOK {
			t.Errorf("an hour after the first visit, half of it after the last: got %d, want 200", a.status)
		}
		time.Sleep(20*time.Minute + time.Second)
		refused(t, "after the lifetime", d.ask("GET", "/v1/session", "", bearer(token)...), 401, "visitor_unknown")
		if a := d.ask("POST", "/v1/visitor", `{"carrier":"bearer"}`, bearer(token)...); len(a.token()) != 43 || a.token() == token {
			t.Errorf("an expired token: got %q, want another", a.token())
		}
	})
}

func TestVisitor_OtherVisitorsData_Invisible(t *testing.T) {
	r := newHarness(t, func(c *relay.Config) { c.VisitorApprovals = true }, anyframetest.WithAgent(1, func(c *anyframetest.Chat) {
		c.Say("The word is xyzzy, " + c.Ask("Who is it?") + ".")
	}))
	a, b := r.visitor(), r.visitor()
	x, y := a.open(""), b.open("")
	a.say("tell me plugh", "k1")
	question := x.until("the question", func(es []event) bool { return count(es, "question") > 0 })
	id := ""
	for _, e := range question {
		if e.kind == "question" {
			id = e.str("id")
		}
	}
	refused(t, "another visitor's question", b.do("POST", "/v1/responses", `{"id":`+quote(id)+`,"answer":"me"}`), 404, "prompt_unknown")
	refused(t, "no question at all", b.do("POST", "/v1/responses", `{"id":"p1-99","answer":"me"}`), 404, "prompt_unknown")
	if got := a.do("POST", "/v1/responses", `{"id":`+quote(id)+`,"answer":"me"}`); got.status != http.StatusAccepted {
		t.Errorf("one's own question: got %d %s, want 202", got.status, got.body)
	}
	x.turnEnds(1)
	if got := b.do("GET", "/v1/transcript", ""); got.body != `{"events":[],"next_since":null}`+"\n" {
		t.Errorf("another's transcript: got %s, want nothing in it", got.body)
	}
	seen := numbered(x.all())
	z := b.open(seen[len(seen)-1].id) // an id alone gives no access
	z.until("a reset", func(es []event) bool { return count(es, "reset") == 1 })
	// For the other visitor, the same key is a new turn, which begins a session of its
	// own.
	b.say("mine", "k1")
	z.until("the question", func(es []event) bool { return count(es, "question") == 1 })
	y.until("the question", func(es []event) bool { return count(es, "question") == 1 })
	for name, tab := range map[string]*stream{"open before": y, "opened with another's id": z} {
		tab.mu.Lock()
		raw := tab.raw.String()
		tab.mu.Unlock()
		for _, word := range []string{"xyzzy", "plugh"} {
			if strings.Contains(raw, word) {
				t.Errorf("the stream %s: it says %q, which belongs to another visitor:\n%s", name, word, raw)
			}
		}
	}
	if n := len(r.plane.Sessions()); n != 2 {
		t.Errorf("sessions of two visitors: got %d, want 2", n)
	}
}
