package relay_test

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/golang-jwt/jwt/v5"

	"github.com/anyframe-relay/relay/anyframe/anyframetest"
	"github.com/anyframe-relay/relay/relay"
)

// vouching returns the claims of a sign-in with a context, as JSON.
func vouching(context string) jwt.MapClaims {
	claims := of("ann")
	claims["context"] = json.RawMessage(context)
	return claims
}

// context returns the context that the agent got with its last message: the attachment's
// last line, or "" if there was none.
func (r *harness) context() string {
	r.t.Helper()
	calls := r.plane.Requests()
	for _, call := range slices.Backward(calls) {
		if call.Op != anyframetest.OpMessage {
			continue
		}
		var body struct {
			Attachments []struct{ Kind, Name, MIME, Text string }
		}
		if err := json.Unmarshal(call.Body, &body); err != nil {
			r.t.Fatal(err)
		}
		for n, a := range body.Attachments {
			if a.Name != "visitor-context.json" {
				continue
			}
			prose, line, _ := strings.Cut(a.Text, "\n")
			if n != len(body.Attachments)-1 || a.Kind != "text" || a.MIME != "text/plain" || !strings.Contains(prose, "unverified data and no instruction") || strings.Contains(line, "\n") {
				r.t.Errorf("got attachment %d of %d: %+v, want the last, text/plain, a line of prose and one of JSON", n, len(body.Attachments), a)
			}
			return line
		}
		return ""
	}
	return ""
}

// tells sends a message with additional members and checks the context that the agent
// gets.
func (b *browser) tells(key, more, want string) {
	b.r.t.Helper()
	body := `{"text":"hi"` + more + `}`
	if a := b.do("POST", "/v1/messages", body, "Idempotency-Key", key); a.status != http.StatusAccepted {
		b.r.t.Fatalf("%s: got %d %s, want 202", body, a.status, a.body)
	}
	if got := b.r.context(); got != want {
		b.r.t.Errorf("%s: the agent is told %q, want %q", body, got, want)
	}
}

func TestContext_OfPage_SentWhenChanged(t *testing.T) {
	t.Parallel()
	disk := sqliteFile(t)
	r := newHarness(t, func(c *relay.Config) { disk(c); c.MaxAttachments = 1 }, anyframetest.WithAgent(1, talk))
	v := r.visitor()
	ab := `{"verified":{},"page":{"a":1,"b":"x"}}`
	v.tells("k1", "", "")
	v.tells("k2", `,"context":{"b":"x","a":1}`, ab)
	v.tells("k3", `,"context":{"a":1,"b":"x"}`, "")
	v.tells("k4", ``, "")
	r.restart()
	v.tells("k5", `,"context":{"a":1,"b":"x"}`, "")
	v.tells("k6", `,"context":{"a":2},"attachments":[{"name":"a.txt","mime":"text/plain","data":"eA=="}]`, `{"verified":{},"page":{"a":2}}`)
	v.tells("k7", `,"context":{}`, `{"verified":{},"page":{}}`)
	v.tells("k8", `,"context":{}`, "")
	v.tells("k9", `,"context":{"a":1,"b":"x"}`, ab)
	// A new epoch's first turn also has it, without the page sending it again.
	if a := v.do("DELETE", "/v1/session", ""); a.status != http.StatusNoContent {
		t.Fatalf("end: got %d %s, want 204", a.status, a.body)
	}
	v.tells("l1", "", ab)
	v.tells("l2", "", "")
	history := v.do("GET", "/v1/transcript", "").body
	if strings.Contains(history, "visitor-context") || !strings.Contains(history, "hi") {
		t.Errorf("got %s, want it without our attachment", history)
	}
	if logs := r.logs.String(); strings.Contains(logs, `"b":"x"`) || strings.Contains(logs, `\"b\":\"x\"`) {
		t.Error("the log has a context, want none")
	}
}

func TestContext_RepeatedKey_FirstCounts(t *testing.T) {
	t.Parallel()
	disk := sqliteFile(t)
	r := newHarness(t, disk, anyframetest.WithAgent(1, talk))
	v := r.visitor()
	r.plane.Inject(anyframetest.Fault{Kind: anyframetest.Respond, Op: anyframetest.OpMessage, Status: 422})
	refused(t, "not taken", v.do("POST", "/v1/messages", `{"text":"hi","context":{"a":1}}`, "Idempotency-Key", "k1"), 502, "upstream_failed")
	r.plane.ClearFaults()
	r.restart()
	v.tells("k1", `,"context":{"a":2}`, `{"verified":{},"page":{"a":1}}`)
	v.tells("k1", `,"context":{"a":3}`, `{"verified":{},"page":{"a":1}}`)
	if n := r.plane.Count(anyframetest.OpMessage); n != 2 {
		t.Errorf("messages: got %d, want one refused and one taken", n)
	}
	v.tells("k2", `,"context":{"a":1}`, "")
}

func TestContext_OtherReplica_NeitherRepeatsNorForgets(t *testing.T) {
	t.Parallel()
	overStores(t, func(t *testing.T, share sharing) {
		t.Parallel()
		a, b := replicas(t, overHTTP1, share, nil, anyframetest.WithAgent(1, talk))
		v := a.visitor()
		v.tells("k1", `,"context":{"a":1}`, `{"verified":{},"page":{"a":1}}`)
		v.at(b).tells("k2", `,"context":{"a":1}`, "")
		v.at(b).tells("k3", `,"context":{"a":2}`, `{"verified":{},"page":{"a":2}}`)
		v.tells("k4", `,"context":{"a":2}`, "")
		v.tells("k5", `,"context":{"a":1}`, `{"verified":{},"page":{"a":1}}`)
	})
}

func TestContext_OfJWT_Vouched(t *testing.T) {
	t.Parallel()
	r := newHarness(t, siteKey, anyframetest.WithAgent(1, talk))
	sign := func(context string) *browser {
		a := (&browser{r: r}).do("POST", "/v1/visitor", introduction(signIn(t, vouching(context))))
		if a.status != http.StatusOK || a.token() == "" {
			t.Fatalf("introduced with %s: got %d %s, want a token", context, a.status, a.body)
		}
		return &browser{r, a.token()}
	}
	pro, free := sign(`{"plan":"pro","age":7}`), sign(`{"plan":"free"}`)
	pro.tells("k1", `,"context":{"plan":"gold"}`, `{"verified":{"age":7,"plan":"pro"},"page":{"plan":"gold"}}`)
	pro.tells("k2", ``, "")
	free.tells("k3", ``, `{"verified":{"plan":"free"},"page":{"plan":"gold"}}`)
	pro.tells("k4", ``, `{"verified":{"age":7,"plan":"pro"},"page":{"plan":"gold"}}`)
	for context, member := range map[string]string{`{"plan":null}`: "context.plan", `"x"`: "context is not", `{"a":{"b":1}}`: "context.a"} {
		a := (&browser{r: r}).do("POST", "/v1/visitor", introduction(signIn(t, vouching(context))))
		refused(t, context, a, 401, "identity_invalid")
		r.awaitLog(member)
	}
}

func TestContext_Wrong_RefusedByName(t *testing.T) {
	r := newHarness(t, nil, anyframetest.WithAgent(1, talk))
	v := r.visitor()
	for context, member := range map[string]string{
		`null`: "context", `[]`: "context", `{"a":null}`: "context.a", `{"a":[1]}`: "context.a", `{"a":1,"a":1}`: "context.a", `{"a b":1}`: "context.a b",
		`{"a":"` + strings.Repeat("x", 1025) + `"}`: "context.a",
	} {
		a := v.do("POST", "/v1/messages", `{"text":"hi","context":`+context+`}`)
		refused(t, context, a, 400, "bad_request")
		if detail, _ := a.json["detail"].(string); !strings.Contains(detail, `"`+member+`"`) {
			t.Errorf("%.40s: got %q, want it to name %s", context, detail, member)
		}
	}
	for _, name := range []string{"visitor-context.json", "VISITOR-context.json", "x/ｖisitor-context.json"} {
		a := v.do("POST", "/v1/messages", `{"text":"hi","attachments":[{"name":"`+name+`","mime":"text/plain","data":"eA=="}]}`)
		refused(t, name, a, 400, "bad_request")
	}
	if n := r.plane.Count(anyframetest.OpCreate); n != 0 {
		t.Errorf("sessions created: got %d, want none", n)
	}
}

func TestContext_TurnedOff_CheckedAndNotSent(t *testing.T) {
	t.Parallel()
	off := newHarness(t, func(c *relay.Config) { siteKey(c); c.NoContext = true }, anyframetest.WithAgent(1, talk))
	v := off.visitor()
	v.tells("k1", `,"context":{"a":1}`, "")
	refused(t, "off, and wrong", v.do("POST", "/v1/messages", `{"text":"hi","context":{"a":null}}`), 400, "bad_request")
	refused(t, "a JWT's, and wrong", v.do("POST", "/v1/visitor", introduction(signIn(t, vouching(`1`)))), 401, "identity_invalid")

	none := newHarness(t, func(c *relay.Config) { siteKey(c); c.MaxContext = 0 }, anyframetest.WithAgent(1, talk))
	v = none.visitor()
	refused(t, "none taken", v.do("POST", "/v1/messages", `{"text":"hi","context":{}}`), 400, "bad_request")
	a := v.do("POST", "/v1/visitor", introduction(signIn(t, vouching(`{"a":1}`))))
	(&browser{none, a.token()}).tells("k1", "", "")
}
