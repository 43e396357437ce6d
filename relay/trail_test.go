package relay_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/anyframe-relay/relay/anyframe/anyframetest"
	"github.com/anyframe-relay/relay/relay"
)

// logged returns the lines of a message so far.
func (r *rig) logged(msg string) (found []map[string]any) {
	r.t.Helper()
	for line := range strings.Lines(r.logs.String()) {
		var l map[string]any
		if err := json.Unmarshal([]byte(line), &l); err != nil {
			r.t.Fatalf("got log line %q, want JSON", line)
		}
		if l["msg"] == msg {
			found = append(found, l)
		}
	}
	return found
}

func TestTheLogHasALineForEveryRequestAndEveryStepAndNamesNobody(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil, anyframetest.WithAgent(1, talk))
	v := r.visitor()
	x := v.open("")
	a := v.say("hello", "k1")
	x.turnEnds(1)
	v.do("POST", "/v1/messages", `{"text":""}`)
	x.close()
	eventually(t, "the stream's line is written", func() bool { return len(r.logged("request")) == 4 })

	lines := map[string]map[string]any{} // by route and status
	for _, l := range r.logged("request") {
		lines[fmt.Sprint(l["route"], " ", l["status"])] = l
	}
	turn := lines["POST /v1/messages 202"]
	for _, name := range []string{"visitor", "session"} {
		hash, _ := turn[name].(string)
		if len(hash) != 8 {
			t.Errorf("%s: got %v, want a short hash in %v", name, turn[name], turn)
		}
		for _, other := range []map[string]any{lines["GET /v1/events 200"], lines["POST /v1/messages 400"], r.logged("session created")[0], r.logged("turn")[0], r.logged("turn ended")[0]} {
			if other[name] != hash && (name == "visitor" || other["code"] == nil) {
				t.Errorf("%s: got %v in %v, want %s as in the turn's", name, other[name], other, hash)
			}
		}
	}
	if id := a.header.Get("X-Request-Id"); turn["request"] != id || r.logged("turn")[0]["request"] != id {
		t.Errorf("got request %v and of the turn %v, want %s in both", turn["request"], r.logged("turn")[0]["request"], id)
	}
	if got := lines["POST /v1/messages 400"]["code"]; got != "empty_message" {
		t.Errorf("code of a refusal: got %v, want empty_message", got)
	}
	if got := lines["GET /v1/events 200"]["ended"]; got != "gone" {
		t.Errorf("end of a stream: got %v, want gone", got)
	}
	if l := r.logged("turn ended")[0]; l["reason"] != "done" || l["ms"] == nil {
		t.Errorf("turn ended: got %v, want how and after how long", l)
	}
	for _, secret := range []string{"hello", v.token, r.upstream(), r.plane.Key()} {
		if strings.Contains(r.logs.String(), secret) {
			t.Errorf("the log tells %q", secret)
		}
	}
}

func TestAVisitorWhoWaitsForASandboxIsNoWarning(t *testing.T) {
	t.Parallel()
	r := newRig(t, func(c *relay.Config) { c.SendWait = time.Second }, anyframetest.WithBootDelay(time.Hour))
	v := r.visitor()
	if a := v.do("POST", "/v1/messages", `{"text":"hello"}`); a.status != http.StatusServiceUnavailable || a.code() != "session_booting" {
		t.Fatalf("got %d %s, want session_booting", a.status, a.body)
	}
	if got := r.logged("refused"); len(got) != 0 {
		t.Errorf("got %v, want no warning", got)
	}
	if !slices.ContainsFunc(r.logged("request"), func(l map[string]any) bool { return l["code"] == "session_booting" }) {
		t.Error("the request's line does not say why it was refused")
	}
}
