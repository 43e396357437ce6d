package relay_test

import (
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/anyframe-relay/relay/anyframe/anyframetest"
	"github.com/anyframe-relay/relay/relay"
)

// witness keeps everything that a relay outputs, with where it was seen.
type witness struct {
	r *harness

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

// watch keeps what a tab has received, once the test no longer uses it.
func (w *witness) watch(x *stream) {
	x.close()
	w.saw("stream", x.raw.String()+"\n"+fmt.Sprint(x.res.Header))
}

// all returns everything, including the log and the metrics.
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

// disguises returns the forms in which a secret might leak.
func disguises(secret string) []string {
	out := []string{secret, url.QueryEscape(secret), strings.ToUpper(secret), strings.ToLower(secret), hex.EncodeToString([]byte(secret))}
	for offset := range 3 { // base64 of data that contains the secret
		padded := append(make([]byte, offset), secret...)
		std := base64.RawStdEncoding.EncodeToString(padded)
		inner := std[(offset*8+5)/6 : len(std)-1] // the characters that encode only the secret
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

// What is said in the conversation below; none of it may be logged.
var said = []string{
	"xyzzy-visitor-words", "xyzzy-agent-words", "xyzzy-question", "xyzzy-answer", "xyzzy-thought", "xyzzy-failure", "xyzzy-file-name", "xyzzy-file-content",
	"xyzzy-command", "xyzzy-permitted-input", "xyzzy-operator-words", "xyzzy-upstream-error",
}

// canary is the relay's key, which the agent has obtained.
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

// converse does everything that a visitor can do when nothing fails, and some of what it
// can't.
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

func canaryHarness(t *testing.T, change func(*relay.Config)) (*witness, *browser) {
	t.Helper()
	r := newHarness(t, change, anyframetest.WithKey(canary), anyframetest.WithAgent(1, chatter))
	return &witness{r: r}, r.visitor()
}

func TestSecrets_Conversation_NothingLeaks(t *testing.T) {
	t.Parallel()
	for _, visibility := range []relay.Visibility{relay.VisibilityChat, relay.VisibilityTools} {
		for _, approvals := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, approvals %v", visibility, approvals), func(t *testing.T) {
				w, v := canaryHarness(t, func(c *relay.Config) { c.Visibility, c.VisitorApprovals = visibility, approvals })
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

// silent fails the test if the log or the metrics reveal who wrote or what was written.
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
