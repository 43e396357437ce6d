package relay_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/anyframe-relay/relay/anyframe/anyframetest"
	"github.com/anyframe-relay/relay/relay"
)

// hook is a receiver of events.
type hook struct {
	*httptest.Server
	mu     sync.Mutex
	bodies []string
	ids    map[string]bool // a redelivered event has the same id
}

func newHook(t *testing.T) *hook {
	h := &hook{ids: map[string]bool{}}
	h.Server = httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		h.mu.Lock()
		defer h.mu.Unlock()
		if id := r.Header.Get("webhook-id"); !h.ids[id] {
			h.ids[id] = true
			h.bodies = append(h.bodies, string(body))
		}
	}))
	t.Cleanup(h.Close)
	return h
}

func (h *hook) use(c *relay.Config) {
	c.Webhook.URL, c.Webhook.Secret = relay.Secret(h.URL), "0123456789abcdef01234567"
}

// of returns the data of the events of a type.
func (h *hook) of(kind string) (all []map[string]any) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, body := range h.bodies {
		var m struct {
			Type string
			Data map[string]any
		}
		if json.Unmarshal([]byte(body), &m) == nil && m.Type == kind {
			all = append(all, m.Data)
		}
	}
	return all
}

func (h *hook) gets(t *testing.T, kind string, n int) []map[string]any {
	t.Helper()
	eventually(t, kind, func() bool { return len(h.of(kind)) >= n })
	all := h.of(kind)
	if len(all) != n {
		t.Errorf("%s: got %v, want %d", kind, all, n)
	}
	return all
}

func TestWebhook_WhatHappens_ToldOnceByWhicheverReplica(t *testing.T) {
	t.Parallel()
	overStores(t, func(t *testing.T, share sharing) {
		t.Parallel()
		h := newHook(t)
		const private = "a word that nobody else may hear"
		a, b := replicas(t, overHTTP1, share, h.use, anyframetest.WithAgent(1, func(c *anyframetest.Chat) {
			switch {
			case strings.Contains(c.Prompt(), "ask"):
				c.Say(private + c.Ask(private, private, "no"))
			case strings.Contains(c.Prompt(), "fail"):
				c.Fail(private)
			default:
				c.Say(private)
			}
		}))
		runs(t, a, b)
		here := a.visitor()
		there := here.at(b)
		x, y := here.open(""), there.open("")

		here.say("ask "+private, "k1")
		id := x.prompt("question")
		if other := y.prompt("question"); other != id {
			t.Errorf("prompt: got %s at the other, want %s", other, id)
		}
		started := h.gets(t, "conversation.started", 1)[0]
		waiting := h.gets(t, "prompt.waiting", 1)[0]
		if waiting["prompt"] != id || waiting["kind"] != "question" || waiting["conversation"] != started["conversation"] || waiting["visitor"] != visitorHash(t, a, here) ||
			started["epoch"] != 1.0 || started["site"] != "default" {
			t.Errorf("got %v and %v, want the conversation and its prompt", started, waiting)
		}
		there.respond(id, "no")
		x.turnEnds(1)
		there.say("fail", "k2")
		y.turnEnds(2)
		if failed := h.gets(t, "turn.failed", 1)[0]; failed["reason"] != "agent_error" || failed["turn"] != "k2" || failed["conversation"] != started["conversation"] {
			t.Errorf("got %v, want why the turn failed", failed)
		}
		if got := there.do("DELETE", "/v1/session", ""); got.status != http.StatusNoContent {
			t.Fatalf("end: got %d %s", got.status, got.body)
		}
		if ended := h.gets(t, "conversation.ended", 1)[0]; ended["reason"] != "ended" || ended["conversation"] != started["conversation"] {
			t.Errorf("got %v, want the end of the conversation", ended)
		}
		here.say("again", "k3")
		if second := h.gets(t, "conversation.started", 2)[1]; second["epoch"] != 2.0 || second["conversation"] == started["conversation"] {
			t.Errorf("got %v, want another conversation", second)
		}
		for _, body := range h.bodies {
			if strings.Contains(body, private) || strings.Contains(body, "session_") || strings.Contains(body, a.plane.Sessions()[0].ID) {
				t.Errorf("got %s, want no word of the conversation and no id of AnyFrame's", body)
			}
		}
	})
}

// Webhooks are set up while there are conversations already. Nothing is reported that
// happened before.
func TestWebhook_SetUpLater_OldConversationsNotReported(t *testing.T) {
	t.Parallel()
	h := newHook(t)
	r := newHarness(t, sqliteFile(t), anyframetest.WithAgent(1, speak))
	v := r.visitor()
	for i := range 2 {
		x := v.open("")
		v.say("hi", fmt.Sprint("k", i))
		x.turnEnds(1)
		x.close()
		if i == 0 {
			if a := v.do("DELETE", "/v1/session", ""); a.status != http.StatusNoContent {
				t.Fatalf("end: got %d %s", a.status, a.body)
			}
		}
	}
	r.restartWith(h.use)
	runs(t, r)
	x := v.open("")
	v.say("again", "k2")
	x.until("the answer", func(es []event) bool { return count(es, "turn_end") >= 2 })
	if a := v.do("DELETE", "/v1/session", ""); a.status != http.StatusNoContent {
		t.Fatalf("end: got %d %s", a.status, a.body)
	}
	if ended := h.gets(t, "conversation.ended", 1)[0]; ended["epoch"] != 2.0 || ended["reason"] != "ended" {
		t.Errorf("got %v, want the end of the second conversation alone", ended)
	}
	v.say("new", "k3")
	if started := h.gets(t, "conversation.started", 1)[0]; started["epoch"] != 3.0 {
		t.Errorf("got %v, want the third conversation alone", started)
	}
}

func TestWebhook_SessionLost_ConversationEnds(t *testing.T) {
	t.Parallel()
	h := newHook(t)
	r := newHarness(t, h.use, anyframetest.WithAgent(1, speak))
	runs(t, r)
	v, id := r.begin("one")
	r.plane.Delete(id)
	v.insist("two", "k2")
	if ended := h.gets(t, "conversation.ended", 1)[0]; ended["epoch"] != 1.0 {
		t.Errorf("got %v, want the end of the first conversation", ended)
	}
	h.gets(t, "conversation.started", 2)
}

func TestWebhook_KeyRefused_Told(t *testing.T) {
	t.Parallel()
	h := newHook(t)
	r := newHarness(t, func(c *relay.Config) { h.use(c); c.APIKey = "afm_another_key" }, anyframetest.WithAgent(1, speak))
	runs(t, r)
	if got := h.gets(t, "key.refused", 1)[0]; got["site"] != "default" {
		t.Errorf("got %v, want the site", got)
	}
}
