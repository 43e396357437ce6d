package relay_test

import (
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/anyframe-relay/relay/anyframe/anyframetest"
	"github.com/anyframe-relay/relay/relay"
)

// witness keeps everything that a relay lets out, each with where it was seen.
type witness struct {
	r *rig

	mu   sync.Mutex
	seen []sighting
}

type sighting struct{ where, text string }

func (w *witness) saw(where, text string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.seen = append(w.seen, sighting{where, text})
}

func (w *witness) do(b *browser, method, path, body string, headers ...string) answer {
	w.r.t.Helper()
	a := b.do(method, path, body, headers...)
	w.saw(fmt.Sprint(method, " ", path, ": ", a.status), a.body+"\n"+fmt.Sprint(a.header))
	return a
}

// watch keeps what a tab has got, once the test is over with it.
func (w *witness) watch(x *tab) {
	x.close()
	w.saw("stream", x.raw.String()+"\n"+fmt.Sprint(x.res.Header))
}

// all is everything, the log and the metrics included.
func (w *witness) all() []sighting {
	w.r.t.Helper()
	families, err := w.r.reg.Gather()
	if err != nil {
		w.r.t.Fatal(err)
	}
	for _, f := range families {
		w.saw("metrics", f.String())
	}
	w.saw("log", w.r.logs.String())
	return w.seen
}

// disguises are the forms in which a secret might get out.
func disguises(secret string) []string {
	out := []string{secret, url.QueryEscape(secret), strings.ToUpper(secret), strings.ToLower(secret), hex.EncodeToString([]byte(secret))}
	for offset := range 3 { // base64 of something that the secret is a part of
		padded := append(make([]byte, offset), secret...)
		std := base64.RawStdEncoding.EncodeToString(padded)
		inner := std[(offset*8+5)/6 : len(std)-1] // whole characters of the secret's own
		out = append(out, inner, strings.NewReplacer("+", "-", "/", "_").Replace(inner))
	}
	reversed := []byte(secret)
	slices.Reverse(reversed)
	half := len(secret) / 2
	out = append(out, string(reversed), strings.ToUpper(hex.EncodeToString([]byte(secret))), secret[half:], secret[:half])
	slices.Sort(out)
	return slices.Compact(out)
}

// clean fails the test if any of the words was seen anywhere, in any form.
func (w *witness) clean(words []string) {
	w.r.t.Helper()
	for _, s := range w.all() {
		for _, word := range words {
			for _, form := range disguises(word) {
				if i := strings.Index(s.text, form); i >= 0 && len(form) >= 8 {
					w.r.t.Errorf("%s: %q is in it, a form of %q: …%s…", s.where, form, word, s.text[max(0, i-100):min(len(s.text), i+100)])
				}
			}
		}
	}
}

// What was said in the conversation below; none of it is the log's business.
var said = []string{
	"xyzzy-visitor-words", "xyzzy-agent-words", "xyzzy-question", "xyzzy-answer", "xyzzy-thought", "xyzzy-failure", "xyzzy-file-name", "xyzzy-file-content",
	"xyzzy-command", "xyzzy-permitted-input", "xyzzy-operator-words", "xyzzy-upstream-error",
}

// canary is the relay's key, which the agent has found out.
const canary = "afm_canary_Zq7Kp2Vw9XtB4nRmD6sL"

func chatter(c *anyframetest.Chat) {
	c.Think("xyzzy-thought")
	c.Say("xyzzy-agent-words, and more of them: " + canary + " " + base64.StdEncoding.EncodeToString([]byte(canary)) + " " + hex.EncodeToString([]byte(canary)))
	c.Tool("Bash", map[string]any{"command": "echo xyzzy-command " + canary})
	switch {
	case strings.Contains(c.Prompt(), "ask"):
		c.Say("you chose " + c.Ask("xyzzy-question "+canary, "yes", canary))
	case strings.Contains(c.Prompt(), "permit"):
		if c.Permit("Bash", map[string]any{"command": "xyzzy-permitted-input " + canary}) {
			c.Say("done")
		}
	case strings.Contains(c.Prompt(), "fail"):
		c.Fail("xyzzy-failure")
	}
}

// converse goes through everything that a visitor can do when nothing fails,
// and some of what it can't.
func (w *witness) converse(v *browser, approvals bool) {
	r := w.r
	for _, path := range []string{"/", "/widget.js", "/healthz", "/readyz", "/metrics", "/debug/pprof/", "/.env", "/v1/sessions"} {
		w.do(v, "GET", path, "")
	}
	x := v.open("")
	w.do(v, "POST", "/v1/session", "")
	w.do(v, "POST", "/v1/messages", `{"text":"hello xyzzy-visitor-words","attachments":[`+attachment("xyzzy-file-name.txt", "text/plain", []byte("xyzzy-file-content"))+`]}`, "Idempotency-Key", "k1")
	x.turnEnds(1)
	w.do(v, "POST", "/v1/messages", `{"text":"ask me"}`)
	question := x.prompt("question")
	w.do(v, "POST", "/v1/responses", `{"id":"p1-1","answer":"xyzzy-answer"}`)
	w.do(v, "POST", "/v1/responses", `{"id":`+quote(question)+`,"answer":"xyzzy-answer"}`)
	w.do(v, "POST", "/v1/responses", `{"id":`+quote(question)+`,"answer":"xyzzy-answer"}`)
	x.turnEnds(2)
	w.do(v, "POST", "/v1/messages", `{"text":"permit it"}`)
	approval := x.prompt("approval")
	a := w.do(v, "POST", "/v1/responses", `{"id":`+quote(approval)+`,"decision":"approve"}`)
	if approvals != (a.status == http.StatusAccepted) {
		r.t.Errorf("a decision: got %d %s, want it taken: %v", a.status, a.body, approvals)
	}
	if !approvals {
		r.plane.Answer(r.upstream(), "approve")
	}
	x.turnEnds(3)
	w.do(v, "POST", "/v1/messages", `{"text":"fail now"}`)
	x.turnEnds(4)
	r.plane.UserMessage(r.upstream(), "xyzzy-operator-words "+canary)
	x.turnEnds(5)
	r.plane.Post(r.upstream(), map[string]any{"type": "system", "session_id": r.upstream(), "api_key": r.plane.Key(), "sandbox": r.plane.Secrets()})
	r.plane.PostUnnumbered(r.upstream(), map[string]any{"type": "status", "session_id": r.upstream(), "secrets": r.plane.Secrets()})
	r.plane.Post(r.upstream(), map[string]any{"type": "result", "subtype": "success", "session_id": r.upstream(), "result": r.plane.Key()})
	x.turnEnds(6)
	w.do(v, "GET", "/v1/transcript", "")
	w.do(v, "GET", "/v1/transcript?since=-1", "")
	y := v.open("1-3")
	y.turnEnds(6)
	w.watch(y)
	for _, body := range []string{`{`, `{"text":7}`, `{"agent_id":1}`, `{"text":""}`} {
		w.do(v, "POST", "/v1/messages", body)
	}
	w.do(v, "POST", "/v1/messages", `{"text":"another"}`, "Idempotency-Key", "k1")
	w.do(v, "POST", "/v1/messages", `{"text":"x"}`, "Origin", "https://evil.example")
	r.plane.Sleep(r.upstream())
	x.status("sleeping")
	w.do(v, "POST", "/v1/session", "")
	w.do(v, "GET", "/v1/session", "")
	w.do(v, "POST", "/v1/messages", `{"text":"awake"}`)
	x.turnEnds(7)
	w.watch(x)
	w.do(v, "DELETE", "/v1/session", "")
}

func canaryRig(t *testing.T, change func(*relay.Config)) (*witness, *browser) {
	t.Helper()
	r := newRig(t, change, anyframetest.WithKey(canary), anyframetest.WithAgent(1, chatter))
	return &witness{r: r}, r.visitor()
}

func TestNoSecretGetsOutOfAConversation(t *testing.T) {
	for _, visibility := range []relay.Visibility{relay.VisibilityChat, relay.VisibilityTools} {
		for _, approvals := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, approvals %v", visibility, approvals), func(t *testing.T) {
				w, v := canaryRig(t, func(c *relay.Config) { c.Visibility, c.VisitorApprovals = visibility, approvals })
				w.converse(v, approvals)
				w.do(v, "DELETE", "/v1/visitor", "")
				secrets := w.r.plane.Secrets()
				if len(secrets) < 8 {
					t.Fatalf("got secrets %v, want those of a whole conversation", secrets)
				}
				w.clean(secrets)
				w.silent(v)
			})
		}
	}
}

// silent fails the test if the log or the metrics tell who spoke or what was said.
func (w *witness) silent(visitors ...*browser) {
	w.r.t.Helper()
	words := said
	for _, v := range visitors {
		words = append(slices.Clone(words), v.token)
	}
	for _, s := range w.seen {
		if s.where != "log" && s.where != "metrics" {
			continue
		}
		for _, word := range words {
			if i := strings.Index(s.text, word); i >= 0 {
				w.r.t.Errorf("%s: %s is in it: …%s…", s.where, word, s.text[max(0, i-200):min(len(s.text), i+100)])
			}
		}
	}
}

func TestNoSecretGetsOutWhenThingsFail(t *testing.T) {
	t.Parallel()
	kinds := map[string]anyframetest.Fault{
		"refuse":              {Kind: anyframetest.Refuse},
		"hang":                {Kind: anyframetest.Hang},
		"garbage":             {Kind: anyframetest.Garbage},
		"lost answers":        {Kind: anyframetest.LoseAnswer},
		"late":                {Kind: anyframetest.Late, Delay: 1500 * time.Millisecond},
		"headers only":        {Kind: anyframetest.HangAfterHeaders},
		"a slow body":         {Kind: anyframetest.SlowBody, N: 100, Delay: time.Millisecond},
		"the wrong type":      {Kind: anyframetest.WrongType},
		"cut after events":    {Kind: anyframetest.CutAfterEvents, N: 3},
		"cut after bytes":     {Kind: anyframetest.CutAfterBytes, N: 250},
		"ended after events":  {Kind: anyframetest.EndAfterEvents, N: 3},
		"stalled":             {Kind: anyframetest.StallAfterEvents, N: 3},
		"repeated":            {Kind: anyframetest.RepeatLast, N: 2},
		"all again":           {Kind: anyframetest.ReplayAll},
		"dropped":             {Kind: anyframetest.Drop, N: 3},
		"swapped":             {Kind: anyframetest.Swap, N: 2},
		"garbled":             {Kind: anyframetest.Garble, N: 2},
		"garbage in between":  {Kind: anyframetest.InsertGarbage, N: 2},
		"unknown in between":  {Kind: anyframetest.InsertUnknown, N: 2},
		"unnumbered delta":    {Kind: anyframetest.InsertUnnumbered, N: 2},
		"a redirect":          {Kind: anyframetest.Respond, Status: 307},
		"an empty answer":     {Kind: anyframetest.Respond, Status: 200, Body: "{}"},
		"no content":          {Kind: anyframetest.Respond, Status: 204},
		"a proxy's own words": {Kind: anyframetest.Respond, Status: 502, ContentType: "text/html", Body: "<html>xyzzy-upstream-error"},
	}
	for _, status := range []int{400, 401, 403, 404, 409, 422, 429, 500, 503} {
		kinds[fmt.Sprint("status ", status)] = anyframetest.Fault{Kind: anyframetest.Respond, Status: status, RetryAfter: "1"}
	}
	for name, fault := range kinds {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w, v := canaryRig(t, func(c *relay.Config) {
				c.Visibility = relay.VisibilityTools
				c.SendWait, c.BootTimeout, c.UpstreamTimeout = 2*time.Second, 3*time.Second, time.Second
			})
			plane := w.r.plane
			x := v.open("")
			eventually(t, "the conversation began", func() bool { // however busy this machine is
				return v.do("POST", "/v1/messages", `{"text":"hello"}`, "Idempotency-Key", "k1").status == http.StatusAccepted
			})
			x.turnEnds(1)
			id := w.r.upstream()
			if fault.Body == "" && fault.Kind == anyframetest.Respond { // an upstream that says all it knows
				fault.Body = `{"detail":"xyzzy-upstream-error in ` + id + ` for ` + plane.Key() + ` ` + strings.Join(plane.Secrets(), " ") + `"}`
			}
			fault.Times = 3
			plane.Inject(fault)
			plane.CutStreams()
			fresh := w.r.visitor()
			y := fresh.open("")
			for i, b := range []*browser{v, fresh, v} {
				w.do(b, "GET", "/v1/session", "")
				w.do(b, "POST", "/v1/messages", `{"text":"hello xyzzy-visitor-words"}`, "Idempotency-Key", fmt.Sprint("f", i))
			}
			w.do(v, "GET", "/v1/transcript", "")
			w.do(v, "POST", "/v1/responses", `{"id":"p1-2","answer":"xyzzy-answer"}`)
			w.do(v, "POST", "/v1/session", "")
			plane.ClearFaults()
			z := v.open("1-1")
			w.do(v, "DELETE", "/v1/session", "")
			w.do(v, "GET", "/readyz", "")
			for _, tab := range []*tab{x, y, z} {
				w.watch(tab)
			}
			w.clean(plane.Secrets())
			w.silent(v, fresh)
		})
	}
}

// The client's errors name the session, also when no request of it failed.
func TestNoSecretGetsOutOfABootThatNeverEnds(t *testing.T) {
	t.Parallel()
	r := newRig(t, func(c *relay.Config) { c.BootTimeout = time.Second }, anyframetest.WithKey(canary), anyframetest.WithBootDelay(time.Hour))
	w, v := &witness{r: r}, r.visitor()
	w.do(v, "POST", "/v1/session", "")
	r.plane.WaitFor(t, func() bool { // given up
		all := r.plane.Sessions()
		return len(all) > 0 && all[0].Status == anyframetest.StatusTerminated
	})
	eventually(t, "the log says so", func() bool { return strings.Contains(r.logs.String(), `"msg":"wake"`) })
	w.clean(r.plane.Secrets())
}

func TestNoSecretGetsOutOfARelayThatCannotStart(t *testing.T) {
	key := relay.Secret(canary)
	for name, change := range map[string]func(*relay.Config){
		"no agent":     func(c *relay.Config) { c.AgentID = 0 },
		"a bad URL":    func(c *relay.Config) { c.BaseURL = "ftp://127.0.0.1" },
		"a bad store":  func(c *relay.Config) { c.Store = "sqlite:/nowhere/at/all/relay.db" },
		"a bad origin": func(c *relay.Config) { c.AllowedOrigins = []string{"shop"} },
	} {
		c := relay.DefaultConfig()
		c.APIKey, c.AgentID, c.BaseURL, c.Store = key, 1, "http://127.0.0.1:1", "memory:"
		change(&c)
		err := startAndClose(t, c)
		if err == nil {
			t.Errorf("%s: got no error, want one", name)
			continue
		}
		for _, form := range disguises(string(key)) {
			if text := fmt.Sprintf("%v %+v %#v %v %#v", err, err, err, c, c); len(form) >= 8 && strings.Contains(text, form) {
				t.Errorf("%s: got %s, want nothing of the key", name, text)
			}
		}
	}
}

func TestMetricsHaveAsManySeriesWhateverIsAsked(t *testing.T) {
	d := newDesk(t, nil)
	token := d.mint()
	series := func() (n int, labels []string) {
		families, err := d.reg.Gather()
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range families {
			for _, m := range f.GetMetric() {
				n++
				for _, l := range m.GetLabel() {
					labels = append(labels, l.GetValue())
				}
			}
		}
		slices.Sort(labels)
		return n, slices.Compact(labels)
	}
	random := func() string {
		var b strings.Builder
		for range rand.IntN(12) + 1 {
			b.WriteByte("abcdefghijklmnopqrstuvwxyzABC0123456789-_.~"[rand.IntN(43)])
		}
		return b.String()
	}
	methods := []string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT", "PRI", "get", "X"}
	known := []string{
		"/", "/widget.js", "/healthz", "/readyz", "/v1/visitor", "/v1/session", "/v1/messages", "/v1/responses", "/v1/transcript", "/v1/nothing", "/nothing",
		"/assets/x.js", "/v1",
	}
	hammer := func() {
		for _, method := range methods {
			for _, path := range known {
				d.ask(method, path, `{"x":1}`, bearer(token)...)
				d.ask(method, path, "", "Authorization", "Bearer "+random())
				d.ask(method, path, "", "Origin", "https://"+random())
			}
			for range 20 {
				d.ask(method, "/"+random(), "", "Origin", random(), "User-Agent", "\xff\xfe"+random())
				d.ask(method, "/v1/"+random()+"/"+random()+"?"+random(), "", "Idempotency-Key", random(), "X-Request-Id", random())
				d.ask(method, "/assets/"+random()+"%ff", "", "Host", random())
			}
		}
		for range 50 {
			d.ask(random(), "/"+random(), "")
		}
		token = d.mint() // the last was forgotten on the way
	}
	hammer()
	n, labels := series()
	hammer()
	hammer()
	again, now := series()
	if n != again {
		t.Errorf("series: got %d, then %d, want no more; new labels: %v", n, again, slices.DeleteFunc(now, func(l string) bool { return slices.Contains(labels, l) }))
	}
	for _, want := range []string{"other", "GET /v1/session", "POST /v1/messages", "not_found"} {
		if !slices.Contains(labels, want) {
			t.Errorf("labels: got %v, want %s among them", labels, want)
		}
	}
}

// startAndClose starts a relay with nobody to talk to and returns why it did not.
func startAndClose(t *testing.T, c relay.Config) error {
	t.Helper()
	srv, err := relay.New(t.Context(), c, slog.New(slog.DiscardHandler), prometheus.NewRegistry())
	if err != nil {
		return err
	}
	return srv.Close()
}
