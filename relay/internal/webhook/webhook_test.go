package webhook_test

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"github.com/anyframe-relay/relay/relay/internal/lease"
	"github.com/anyframe-relay/relay/relay/internal/redact"
	"github.com/anyframe-relay/relay/relay/internal/store"
	"github.com/anyframe-relay/relay/relay/internal/store/memory"
	"github.com/anyframe-relay/relay/relay/internal/telemetry"
	"github.com/anyframe-relay/relay/relay/internal/webhook"
)

const secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSwMfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"

// receiver records what it receives. Answer decides the status; nil is 204.
type receiver struct {
	*httptest.Server
	t *testing.T

	mu     sync.Mutex
	answer func(n int, w http.ResponseWriter) int
	got    []delivery
	taken  []delivery // those that it answered with 2xx
}

type delivery struct {
	id   string
	body string
	head http.Header
}

func (d delivery) conversation() string {
	var m struct{ Data struct{ Conversation string } }
	_ = json.Unmarshal([]byte(d.body), &m)
	return m.Data.Conversation
}

func (d delivery) turn() string {
	var m struct{ Data struct{ Turn string } }
	_ = json.Unmarshal([]byte(d.body), &m)
	return m.Data.Turn
}

func listen(t *testing.T, answer func(n int, w http.ResponseWriter) int) *receiver {
	t.Helper()
	r := &receiver{t: t, answer: answer}
	r.Server = httptest.NewServer(http.HandlerFunc(r.serve))
	t.Cleanup(r.Close)
	return r
}

func (r *receiver) serve(w http.ResponseWriter, req *http.Request) {
	body, _ := io.ReadAll(req.Body)
	d := delivery{req.Header.Get("Webhook-Id"), string(body), req.Header}
	r.mu.Lock()
	r.got = append(r.got, d)
	n, answer := len(r.got), r.answer
	r.mu.Unlock()
	code := http.StatusNoContent
	if answer != nil {
		code = answer(n, w)
	}
	if code/100 == 2 {
		r.mu.Lock()
		r.taken = append(r.taken, d)
		r.mu.Unlock()
	}
	w.WriteHeader(code)
}

func (r *receiver) deliveries(taken bool) []delivery {
	r.mu.Lock()
	defer r.mu.Unlock()
	if taken {
		return slices.Clone(r.taken)
	}
	return slices.Clone(r.got)
}

// wait waits until cond holds.
func wait(t *testing.T, what string, cond func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !cond(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%s: did not happen", what)
		}
	}
}

func (r *receiver) takes(n int) []delivery {
	r.t.Helper()
	wait(r.t, fmt.Sprintf("%d deliveries", n), func() bool { return len(r.deliveries(true)) >= n })
	return r.deliveries(true)
}

// process is one process's outbox.
type process struct {
	*webhook.Outbox
	reg *prometheus.Registry
	end func() // simulates a crash: pending writes are not made
}

// dying is a store that fails once its process has crashed.
type dying struct {
	store.Store
	mu   sync.Mutex
	dead bool
}

func (d *dying) die() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.dead = true
}

func (d *dying) SaveRecord(ctx context.Context, r store.Record) (store.Record, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.dead {
		return r, store.ErrUnavailable
	}
	return d.Store.SaveRecord(ctx, r)
}

func (d *dying) DeleteRecord(ctx context.Context, kind, key string, version int64) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.dead {
		return store.ErrUnavailable
	}
	return d.Store.DeleteRecord(ctx, kind, key, version)
}

// owned is a store that grants leases to one process, which a test names.
type owned struct {
	store.Store
	refusals chan string // gets the name of each other process that asked

	mu    sync.Mutex
	owner string
}

func (o *owned) give(owner string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.owner = owner
}

func (o *owned) Acquire(_ context.Context, _, owner string, _ time.Duration) (int64, bool, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if owner == o.owner {
		return 1, true, nil
	}
	select {
	case o.refusals <- owner:
	default:
	}
	return 0, false, nil
}

func (o *owned) Release(context.Context, string, string) error { return nil }

func start(t *testing.T, st store.Store, c webhook.Config, tuning webhook.Tuning) *process {
	t.Helper()
	return startAs(t, "", st, c, tuning)
}

// startAs is start with a name for the owner of leases.
func startAs(t *testing.T, name string, st store.Store, c webhook.Config, tuning webhook.Tuning) *process {
	t.Helper()
	p := &process{reg: prometheus.NewRegistry()}
	mortal := &dying{Store: st}
	log := slog.New(slog.NewTextHandler(t.Output(), nil))
	if tuning.Tick == 0 {
		tuning.Tick, tuning.FirstRetry, tuning.MaxRetry = 5*time.Millisecond, 4*time.Millisecond, 20*time.Millisecond
	}
	o, err := webhook.New(webhook.Options{
		Config: c, Site: "default", Store: mortal, Metrics: telemetry.NewMetrics(p.reg), Log: log, Tuning: tuning,
		Leases: &lease.Holder{Store: st, Owner: cmp.Or(name, fmt.Sprintf("%p", p)), TTL: 100 * time.Millisecond, Log: log},
	})
	if err != nil {
		t.Fatal(err)
	}
	p.Outbox = o
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		o.Run(ctx)
	}()
	p.end = func() {
		mortal.die()
		cancel()
		<-done
	}
	t.Cleanup(p.end)
	return p
}

func (p *process) put(t *testing.T, events ...webhook.Event) {
	t.Helper()
	for _, e := range events {
		if err := p.Put(t.Context(), e); err != nil {
			t.Fatal(err)
		}
	}
}

func failed(conversation string, turn int) webhook.Event {
	return webhook.Event{Type: webhook.TurnFailed, Time: time.Now(), Data: webhook.Data{
		Conversation: conversation, Epoch: 1, Turn: fmt.Sprint("k", turn), Visitor: "0123456789abcdef", Reason: "agent_error",
	}}
}

func config(r *receiver) webhook.Config {
	return webhook.Config{URL: redact.Secret(r.URL), Secret: secret}
}

func TestOutbox_Event_VerifiedByTheReferenceLibrary(t *testing.T) {
	t.Parallel()
	for name, s := range map[string]struct{ ours, theirs string }{
		"coded":    {secret, secret},
		"as it is": {"0123456789abcdef01234567", "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3"},
	} {
		for _, format := range webhook.Formats() {
			r := listen(t, nil)
			p := start(t, memory.New(), webhook.Config{URL: redact.Secret(r.URL), Secret: redact.Secret(s.ours), Format: format}, webhook.Tuning{})
			p.put(t, failed("c1", 1))
			d := r.takes(1)[0]
			wh, err := standardwebhooks.NewWebhook(s.theirs)
			if err != nil {
				t.Fatal(err)
			}
			if err := wh.Verify([]byte(d.body), d.head); err != nil {
				t.Errorf("%s, %s: %v", name, format, err)
			}
			if err := wh.Verify([]byte(d.body+" "), d.head); err == nil {
				t.Errorf("%s, %s: another body verifies, too", name, format)
			}
		}
	}
}

func TestOutbox_Formats_AsDocumented(t *testing.T) {
	t.Parallel()
	e := failed("c1", 1)
	e.Data.Reason = "<@everyone> & co"
	for format, want := range map[string]func(m map[string]any) bool{
		webhook.FormatJSON: func(m map[string]any) bool {
			data, _ := m["data"].(map[string]any)
			_, err := time.Parse(time.RFC3339, fmt.Sprint(m["timestamp"]))
			return len(m) == 3 && m["type"] == "turn.failed" && err == nil && data["site"] == "default" && data["conversation"] == "c1" &&
				data["turn"] == "k1" && data["epoch"] == 1.0 && data["visitor"] == "0123456789abcdef"
		},
		// https://docs.slack.dev/messaging/sending-messages-using-incoming-webhooks: text is the one member that is needed
		webhook.FormatSlack: func(m map[string]any) bool {
			text, _ := m["text"].(string)
			return len(m) == 1 && strings.Contains(text, "&lt;@everyone&gt; &amp; co") && strings.Contains(text, "c1")
		},
		// https://docs.discord.com/developers/resources/webhook#execute-webhook: content has 2000 characters at most
		webhook.FormatDiscord: func(m map[string]any) bool {
			content, _ := m["content"].(string)
			mentions, _ := m["allowed_mentions"].(map[string]any)
			parse, ok := mentions["parse"].([]any)
			return len(m) == 2 && content != "" && len(content) <= 2000 && ok && len(parse) == 0
		},
	} {
		r := listen(t, nil)
		c := config(r)
		c.Format = format
		start(t, memory.New(), c, webhook.Tuning{}).put(t, e)
		var m map[string]any
		d := r.takes(1)[0]
		if err := json.Unmarshal([]byte(d.body), &m); err != nil || !want(m) || d.head.Get("Content-Type") != "application/json" {
			t.Errorf("%s: got %s, %v, want it as documented", format, d.body, err)
		}
	}
}

func TestOutbox_BudgetsAndRatings_ReadInEveryFormat(t *testing.T) {
	t.Parallel()
	turn := webhook.Data{Conversation: "c1", Epoch: 1, Visitor: "0123456789abcdef", Turn: "k1"}
	rated, failed := turn, turn
	rated.Rating, failed.Reason = "down", "agent_error"
	for _, tt := range []struct {
		kind string
		data webhook.Data
		line string
		want map[string]any
	}{
		{
			webhook.BudgetNear,
			webhook.Data{Budget: "turns", Used: 8, Limit: 10},
			"80 % of a budget is used (site default, budget turns, 8 of 10)",
			map[string]any{"site": "default", "budget": "turns", "used": 8.0, "limit": 10.0},
		},
		{
			webhook.BudgetReached,
			webhook.Data{Budget: "sessions", Used: 10, Limit: 10},
			"A budget is used up (site default, budget sessions, 10 of 10)",
			map[string]any{"site": "default", "budget": "sessions", "used": 10.0, "limit": 10.0},
		},
		{
			webhook.FeedbackGiven, rated, "A visitor rated an answer (site default, conversation c1, turn k1, rating down)",
			map[string]any{"site": "default", "conversation": "c1", "epoch": 1.0, "visitor": "0123456789abcdef", "turn": "k1", "rating": "down"},
		},
		{
			webhook.TurnFailed, failed, "Turn failed (site default, conversation c1, turn k1, reason agent_error)",
			map[string]any{"site": "default", "conversation": "c1", "epoch": 1.0, "visitor": "0123456789abcdef", "turn": "k1", "reason": "agent_error"},
		},
	} {
		for _, format := range webhook.Formats() {
			r := listen(t, nil)
			c := config(r)
			c.Format = format
			start(t, memory.New(), c, webhook.Tuning{}).put(t, webhook.Event{Type: tt.kind, Time: time.Now(), Data: tt.data, About: "x"})
			var m struct {
				Type, Text, Content string
				Data                map[string]any
			}
			if err := json.Unmarshal([]byte(r.takes(1)[0].body), &m); err != nil {
				t.Fatal(err)
			}
			got := m.Text + m.Content
			if format == webhook.FormatJSON {
				got = tt.line
				if m.Type != tt.kind || !maps.Equal(m.Data, tt.want) {
					t.Errorf("%s: got %s %v, want %v", tt.kind, m.Type, m.Data, tt.want)
				}
			}
			if got != tt.line {
				t.Errorf("%s as %s: got %q, want %q", tt.kind, format, got, tt.line)
			}
		}
	}
}

func TestOutbox_SameEventFromTwoProcesses_SentOnce(t *testing.T) {
	t.Parallel()
	r, st := listen(t, nil), memory.New()
	a, b := start(t, st, config(r), webhook.Tuning{}), start(t, st, config(r), webhook.Tuning{})
	a.put(t, failed("c1", 1))
	b.put(t, failed("c1", 1))
	r.takes(1)
	b.put(t, failed("c1", 1), failed("c1", 2)) // also after it was delivered
	all := r.takes(2)
	if len(all) != 2 || all[0].id == all[1].id || all[1].turn() != "k2" {
		t.Errorf("got %v, want each event once", all)
	}
}

// A process may lose its lease while it runs. It would otherwise send beside the next
// owner until a restart.
func TestOutbox_LeaseLost_OnlyNewOwnerSends(t *testing.T) {
	t.Parallel()
	first, second := listen(t, nil), listen(t, nil)
	st := &owned{Store: memory.New(), refusals: make(chan string), owner: "a"}
	a := startAs(t, "a", st, config(first), webhook.Tuning{})
	a.put(t, failed("c0", 1))
	first.takes(1)
	b := startAs(t, "b", st, config(second), webhook.Tuning{})

	st.give("b")
	for seen := 0; seen < 2; { // the second time, the first refusal has been processed
		if <-st.refusals == "a" {
			seen++
		}
	}
	const events = 20
	for i := range events {
		a.put(t, failed(fmt.Sprint("c", i+1), 1))
	}
	second.takes(events)
	if got := len(first.deliveries(false)); got != 1 {
		t.Errorf("events sent by the process that lost its lease: got %d, want none", got-1)
	}

	st.give("a") // and a sends again once it can
	b.end()
	a.put(t, failed("c99", 1))
	first.takes(2)
}

func TestOutbox_EventsNobodyWants_NotStored(t *testing.T) {
	t.Parallel()
	r, st := listen(t, nil), memory.New()
	c := config(r)
	c.Events = []string{webhook.KeyRefused}
	p := start(t, st, c, webhook.Tuning{})
	p.put(t, failed("c1", 1), webhook.Event{Type: webhook.KeyRefused, Time: time.Now(), About: "once"})
	if all := r.takes(1); len(all) != 1 || !strings.Contains(all[0].body, "key.refused") {
		t.Errorf("got %v, want the one that is wanted", all)
	}
}

// flapping accepts every third delivery, cuts off some and refuses others for a while.
func flapping(n int, w http.ResponseWriter) int {
	switch n % 3 {
	case 0:
		return http.StatusOK
	case 1:
		return []int{http.StatusInternalServerError, http.StatusTooManyRequests, http.StatusRequestTimeout}[n/3%3]
	default:
		if h, ok := w.(http.Hijacker); ok {
			if conn, _, err := h.Hijack(); err == nil {
				conn.Close()
			}
		}
		return 0
	}
}

func TestOutbox_ReceiverFlapsAndProcessesDie_EveryEventArrivesInOrder(t *testing.T) {
	t.Parallel()
	r, st := listen(t, func(n int, w http.ResponseWriter) int {
		if code := flapping(n, w); code != 0 {
			return code
		}
		panic(http.ErrAbortHandler)
	}), memory.New()
	const conversations, turns = 6, 8
	p := start(t, st, config(r), webhook.Tuning{})
	for turn := range turns {
		for c := range conversations {
			p.put(t, failed(fmt.Sprint("c", c), turn))
		}
		if turn%2 == 1 { // it crashes between a send and its record
			p.end()
			p = start(t, st, config(r), webhook.Tuning{})
		}
	}
	seen := func() map[string][]string {
		order := map[string][]string{}
		for _, d := range r.deliveries(true) {
			if c := d.conversation(); !slices.Contains(order[c], d.turn()) {
				order[c] = append(order[c], d.turn())
			}
		}
		return order
	}
	wait(t, "every event", func() bool {
		n := 0
		for _, all := range seen() {
			n += len(all)
		}
		return n == conversations*turns
	})
	ids := map[string]string{}
	for _, d := range r.deliveries(false) {
		event := d.conversation() + " " + d.turn()
		if d.id == "" || ids[event] != "" && ids[event] != d.id {
			t.Errorf("%s: got id %q, want the one of before, %q", event, d.id, ids[event])
		}
		ids[event] = d.id
	}
	for c, got := range seen() {
		if want := []string{"k0", "k1", "k2", "k3", "k4", "k5", "k6", "k7"}; !slices.Equal(got, want) {
			t.Errorf("%s: first seen in the order %q, want %q", c, got, want)
		}
	}
}

func TestOutbox_DeadReceiverOfOneConversation_HoldsUpNoOther(t *testing.T) {
	t.Parallel()
	var r *receiver
	r = listen(t, func(n int, _ http.ResponseWriter) int {
		if all := r.deliveries(false); all[n-1].conversation() == "stuck" {
			return http.StatusBadGateway
		}
		return http.StatusNoContent
	})
	p := start(t, memory.New(), config(r), webhook.Tuning{})
	p.put(t, failed("stuck", 1), failed("stuck", 2), failed("c1", 1), failed("", 7))
	for _, d := range r.takes(2) {
		if d.conversation() == "stuck" {
			t.Errorf("got %v taken, want the others", d)
		}
	}
	for _, d := range r.deliveries(false) {
		if d.conversation() == "stuck" && d.turn() != "k1" {
			t.Errorf("got %s tried before the event before it was done", d.turn())
		}
	}
}

func TestOutbox_RefusedForGood_GivenUpAndTheNextOneSent(t *testing.T) {
	t.Parallel()
	r := listen(t, func(n int, _ http.ResponseWriter) int {
		if n == 1 {
			return http.StatusBadRequest
		}
		return http.StatusOK
	})
	p := start(t, memory.New(), config(r), webhook.Tuning{})
	p.put(t, failed("c1", 1), failed("c1", 2))
	if all := r.takes(1); all[0].turn() != "k2" || len(r.deliveries(false)) != 2 {
		t.Errorf("got %v, want the second one, and the first not again", all)
	}
}

func TestOutbox_Redirect_NotFollowed(t *testing.T) {
	t.Parallel()
	other := listen(t, nil)
	r := listen(t, func(_ int, w http.ResponseWriter) int {
		w.Header().Set("Location", other.URL)
		return http.StatusTemporaryRedirect
	})
	p := start(t, memory.New(), config(r), webhook.Tuning{})
	p.put(t, failed("c1", 1), failed("c1", 2))
	wait(t, "both given up", func() bool { return len(r.deliveries(false)) == 2 })
	if n := len(other.deliveries(false)); n != 0 {
		t.Errorf("got %d deliveries elsewhere, want none", n)
	}
}

func TestOutbox_Gone_NothingMoreUntilAnotherProcessStarts(t *testing.T) {
	t.Parallel()
	st := memory.New()
	r := listen(t, func(n int, _ http.ResponseWriter) int {
		if n == 1 {
			return http.StatusGone
		}
		return http.StatusOK
	})
	p := start(t, st, config(r), webhook.Tuning{})
	p.put(t, failed("c1", 1))
	wait(t, "the answer", func() bool { return len(r.deliveries(false)) == 1 })
	wait(t, "off", func() bool {
		if n, _ := st.CountRecords(t.Context(), "webhook.off", time.Time{}); n == 0 {
			return false
		}
		return true
	})
	p.put(t, failed("c2", 1))
	p.end()
	start(t, st, config(r), webhook.Tuning{}).put(t, failed("c3", 1))
	if all := r.takes(1); all[0].conversation() != "c3" {
		t.Errorf("got %v, want only what came after the restart", all)
	}
}

func TestOutbox_RetryAfter_Heeded(t *testing.T) {
	t.Parallel()
	r := listen(t, func(_ int, w http.ResponseWriter) int {
		w.Header().Set("Retry-After", "3600")
		return http.StatusServiceUnavailable
	})
	st := memory.New()
	start(t, st, config(r), webhook.Tuning{}).put(t, failed("c1", 1))
	wait(t, "put off for an hour", func() bool {
		due, err := st.RecordsDue(t.Context(), "webhook", time.Now().Add(2*time.Hour), 10)
		return err == nil && len(due) == 1 && time.Until(due[0].Due) > 50*time.Minute
	})
}

func TestOutbox_TooManyWait_OldestDroppedAndCounted(t *testing.T) {
	t.Parallel()
	r := listen(t, func(int, http.ResponseWriter) int { return http.StatusBadGateway })
	st := memory.New()
	p := start(t, st, config(r), webhook.Tuning{Tick: time.Hour, MaxWaiting: 50})
	for i := range 120 {
		p.put(t, failed(fmt.Sprint("c", i), 1))
		time.Sleep(time.Millisecond) // events of one millisecond have no order
	}
	n, err := st.CountRecords(t.Context(), "webhook", time.Time{})
	if err != nil || n > 50 || n < 40 {
		t.Errorf("got %d events waiting, %v, want at most 50", n, err)
	}
	records, err := st.Records(t.Context(), "webhook", "", 100)
	if err != nil {
		t.Fatal(err)
	}
	for _, rec := range records {
		var i int
		if _, err := fmt.Sscanf(rec.Owner, "c%d", &i); err != nil || i < 60 {
			t.Errorf("%s still waits, want the oldest dropped", rec.Owner)
		}
	}
}

func TestConfig_WhatCannotBeMeant_Refused(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		c    webhook.Config
		says string
	}{
		"nothing":              {webhook.Config{}, ""},
		"https":                {webhook.Config{URL: "https://hooks.example.com/x", Secret: secret}, ""},
		"loopback":             {webhook.Config{URL: "http://127.0.0.1:8000/", Secret: secret}, ""},
		"localhost":            {webhook.Config{URL: "http://localhost:8000/", Secret: secret}, ""},
		"IPv6":                 {webhook.Config{URL: "http://[::1]:8000/", Secret: secret}, ""},
		"http":                 {webhook.Config{URL: "http://hooks.example.com/x", Secret: secret}, "RELAY_WEBHOOK_URL"},
		"a name like loopback": {webhook.Config{URL: "http://127.0.0.1.example.com/", Secret: secret}, "RELAY_WEBHOOK_URL"},
		"a password":           {webhook.Config{URL: "https://a:b@example.com/", Secret: secret}, "RELAY_WEBHOOK_URL"},
		"no secret":            {webhook.Config{URL: "https://example.com/"}, "RELAY_WEBHOOK_SECRET"},
		"a short secret":       {webhook.Config{URL: "https://example.com/", Secret: "whsec_c2hvcnQ="}, "RELAY_WEBHOOK_SECRET"},
		"no base64":            {webhook.Config{URL: "https://example.com/", Secret: "whsec_????????????????????????????????????"}, "RELAY_WEBHOOK_SECRET"},
		"an unknown event":     {webhook.Config{URL: "https://example.com/", Secret: secret, Events: []string{"turn.began"}}, "RELAY_WEBHOOK_EVENTS"},
		"an unknown format":    {webhook.Config{URL: "https://example.com/", Secret: secret, Format: "xml"}, "RELAY_WEBHOOK_FORMAT"},
		"a secret for nobody":  {webhook.Config{Secret: secret}, "RELAY_WEBHOOK_URL"},
	} {
		err := tt.c.Validate()
		if (err == nil) != (tt.says == "") || err != nil && (!strings.Contains(err.Error(), tt.says) || strings.Contains(err.Error(), "example.com")) {
			t.Errorf("%s: got %v, want an error about %q that quotes nothing", name, err, tt.says)
		}
	}
}
