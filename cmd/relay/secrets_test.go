package main

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"io"
	"net/url"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/anyframe-relay/relay/anyframe/anyframetest"
	"github.com/anyframe-relay/relay/tools/testtools"
)

// forms returns the encodings in which a secret could leak.
func forms(secret string) []string {
	reversed := []byte(secret)
	slices.Reverse(reversed)
	half := len(secret) / 2
	code := hex.EncodeToString([]byte(secret))
	out := []string{
		secret, string(reversed), secret[:half], secret[half:], strings.ToUpper(secret), strings.ToLower(secret), url.QueryEscape(secret), code, strings.ToUpper(code),
	}
	for offset := range 3 { // base64 of a text that contains the secret
		std := base64.RawStdEncoding.EncodeToString(append(make([]byte, offset), secret...))
		inner := std[(offset*8+5)/6 : len(std)-1]
		out = append(out, inner, strings.NewReplacer("+", "-", "/", "_").Replace(inner))
	}
	return out
}

// TestSecrets_Program_NothingLeaks runs the program with secret keys and searches all its
// output for them: responses, pages, streams, metrics, profiles, the debug log, and the
// stack dump that Go writes on SIGQUIT.
func TestSecrets_Program_NothingLeaks(t *testing.T) {
	t.Parallel()
	const key, site = "afm_canary_Hq3TzYb8WvKc5RnMdX7j", "canary-of-the-site-Jw4GxQe9LsPf6VuNbZ2k"
	plane := anyframetest.Start(t, anyframetest.WithKey(key), anyframetest.WithAgent(1, func(c *anyframetest.Chat) {
		c.Say("The key is " + key + ".")
		c.Tool("Bash", map[string]any{"command": "curl -H 'Authorization: Bearer " + key + "'"})
		if strings.Contains(c.Prompt(), "fail") {
			c.Fail("refused: " + key)
		}
	}))
	env := []string{
		"ANYFRAME_API_KEY=" + key, "ANYFRAME_AGENT_ID=1", "ANYFRAME_BASE_URL=" + plane.URL(), "RELAY_IDENTITY_KEY=" + site,
		"RELAY_ADMIN_ADDR=127.0.0.1:0", "RELAY_LOG_LEVEL=debug", "ANYFRAME_LOG_LEVEL=debug", "RELAY_STORE=memory:", "RELAY_VISIBILITY=full",
	}
	p := launch(t, "serve", env...)
	admin := p.admin()

	seen := map[string]string{}
	visit := func(method, address, token, body string) (text string) {
		t.Helper()
		res := testtools.Request(t, method, address, token, body)
		var all bytes.Buffer
		_ = res.Header.Write(&all)
		raw, err := io.ReadAll(res.Body)
		if err != nil {
			t.Fatal(err)
		}
		if zipped, err := gzip.NewReader(bytes.NewReader(raw)); err == nil { // profiles are compressed
			if raw, err = io.ReadAll(zipped); err != nil {
				t.Fatal(err)
			}
		}
		all.Write(raw)
		seen[method+" "+address+" "+body] = all.String()
		return string(raw)
	}
	identity, err := jwt.NewWithClaims(jwt.SigningMethodHS256, jwt.MapClaims{"sub": "ann", "exp": time.Now().Add(time.Hour).Unix()}).SignedString([]byte(site))
	if err != nil {
		t.Fatal(err)
	}
	var visitor struct{ Token string }
	if err := json.Unmarshal([]byte(visit("POST", p.url+"/v1/visitor", "", `{"carrier":"bearer","identity":"`+identity+`"}`)), &visitor); err != nil || visitor.Token == "" {
		t.Fatalf("no token: %v", err)
	}
	events := stream(t.Context(), t, p.url, visitor.Token, "")
	visit("POST", p.url+"/v1/messages", visitor.Token, `{"text":"hello"}`)
	visit("POST", p.url+"/v1/messages", visitor.Token, `{"text":"please fail"}`)
	var streamed strings.Builder
	for lines, ends := bufio.NewScanner(events), 0; ends < 2 && lines.Scan(); {
		streamed.WriteString(lines.Text() + "\n")
		if lines.Text() == "event: turn_end" {
			ends++
		}
	}
	events.Close()
	seen["the stream"] = streamed.String()
	if !strings.Contains(streamed.String(), "afm_…") {
		t.Errorf("the stream: got %s, want that the agent spoke of a key", streamed.String())
	}
	plane.Inject(anyframetest.Fault{Kind: anyframetest.Respond, Status: 401, Times: 2, Body: `{"detail":"no such key: ` + key + `"}`})
	for _, body := range []string{`{"text":"once more"}`, `{`, `{"` + strings.Repeat("x", 200) + `":1}`, `{"carrier":"bearer","identity":"` + identity + `x"}`} {
		visit("POST", p.url+"/v1/messages", visitor.Token, body)
		visit("POST", p.url+"/v1/visitor", visitor.Token, body)
	}
	for _, path := range []string{"/", "/widget.js", "/healthz", "/readyz", "/metrics", "/debug/pprof/", "/.env", "/v1/session", "/v1/transcript", "/v1/nothing"} {
		visit("GET", p.url+path, visitor.Token, "")
	}
	for _, path := range []string{
		"/metrics", "/debug/pprof/", "/debug/pprof/cmdline", "/debug/pprof/goroutine?debug=1", "/debug/pprof/goroutine?debug=2", "/debug/pprof/heap", "/debug/pprof/heap?debug=1",
		"/debug/pprof/allocs", "/debug/pprof/block?debug=1", "/debug/pprof/mutex?debug=1", "/debug/pprof/threadcreate?debug=1", "/debug/pprof/symbol", "/debug/pprof/profile?seconds=1",
		"/debug/pprof/trace?seconds=0.1", "/debug/vars", "/",
	} {
		visit("GET", admin+path, "", "")
	}
	if !strings.Contains(seen["GET "+admin+"/metrics "], "\nrelay_build_info{version=\"") {
		t.Errorf("metrics: got %.300s, want the relay's", seen["GET "+admin+"/metrics "])
	}
	visit("DELETE", p.url+"/v1/visitor", visitor.Token, "")
	p.signal(syscall.SIGQUIT) // Go writes the stacks of all goroutines and exits
	p.exit()
	seen["what the program wrote"] = p.output()
	if !strings.Contains(p.output(), "goroutine ") || !strings.Contains(p.output(), `"level":"DEBUG"`) {
		t.Error("the program wrote no stacks or no debug log, so this test looks in the wrong place")
	}
	for name, wrong := range map[string]string{"a bad setting": "RELAY_RATE_IP=x", "a bad address": "ANYFRAME_BASE_URL=https://x:" + key + "@127.0.0.1", "a bad identity": "RELAY_IDENTITY_KEY=" + site[:20]} {
		_, stdout, stderr := execute(t, append(slices.Clone(env), wrong), "serve")
		seen[name] = stdout + stderr
	}
	_, stdout, stderr := execute(t, env, "doctor")
	seen["doctor"] = stdout + stderr

	for where, text := range seen {
		for _, secret := range []string{key, site, site[:20]} {
			for _, form := range forms(secret) {
				if i := strings.Index(text, form); i >= 0 {
					t.Errorf("%s: %q, a form of %q, is in it: …%s…", where, form, secret, text[max(0, i-80):min(len(text), i+80)])
				}
			}
		}
		if i := strings.Index(text, identity[len(identity)-43:]); i >= 0 {
			t.Errorf("%s: an identity is in it: …%s…", where, text[max(0, i-80):i])
		}
	}
}
