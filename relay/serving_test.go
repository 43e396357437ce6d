package relay_test

import (
	"compress/gzip"
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	"github.com/anyframe-relay/relay/anyframe/anyframetest"
	"github.com/anyframe-relay/relay/relay"
)

var assetURL = regexp.MustCompile(`assets/[a-z]+\.[0-9a-f]{12}\.(?:js|css)`)

var hashIn = regexp.MustCompile(`\.[0-9a-f]{12}\.`)

// assetsOf are the files that a document names.
func assetsOf(body string) []string {
	found := assetURL.FindAllString(body, -1)
	slices.Sort(found)
	return slices.Compact(found)
}

func TestThePageAndTheWidgetAreServed(t *testing.T) {
	for _, base := range []string{"", "/chat", "/a/b"} {
		t.Run("under "+base+"/", func(t *testing.T) {
			d := newDesk(t, func(c *relay.Config) {
				c.BasePath, c.Look.Title = base, "Ask us"
				c.Triggers = []relay.Trigger{{Word: "table", Shows: "a table"}} // the page with all its files
			})
			page := d.ask("GET", base+"/", "")
			if page.status != http.StatusOK || page.header.Get("Content-Type") != "text/html; charset=utf-8" {
				t.Errorf("the page: got %d %q, want 200 HTML", page.status, page.header.Get("Content-Type"))
			}
			for _, want := range []string{"<title>Ask us</title>", `src="widget.js"`, "<relay-chat"} {
				if !strings.Contains(page.body, want) {
					t.Errorf("the page: got %s, want %s in it", page.body, want)
				}
			}
			policy := page.header.Get("Content-Security-Policy")
			for _, want := range []string{
				"default-src 'none'", "script-src 'self'", "connect-src 'self'", "base-uri 'none'", "form-action 'none'", "frame-ancestors 'none'",
				"require-trusted-types-for 'script'", "trusted-types 'none'",
			} {
				if !slices.Contains(strings.Split(policy, "; "), want) {
					t.Errorf("the page's policy: got %q, want %s in it", policy, want)
				}
			}
			if strings.Contains(policy, "unsafe") || page.header.Get("X-Content-Type-Options") != "nosniff" || page.header.Get("Cache-Control") != "no-cache" {
				t.Errorf("the page: got %v, want nothing unsafe, nosniff, no-cache", page.header)
			}

			loader := d.ask("GET", base+"/widget.js", "")
			if loader.status != http.StatusOK || !strings.HasPrefix(loader.header.Get("Content-Type"), "text/javascript") {
				t.Errorf("the loader: got %d %q, want 200 JavaScript", loader.status, loader.header.Get("Content-Type"))
			}
			for name, want := range map[string]string{
				"Access-Control-Allow-Origin": "*", "Cross-Origin-Resource-Policy": "cross-origin", "Cache-Control": "public, max-age=300", "X-Content-Type-Options": "nosniff",
			} {
				if got := loader.header.Get(name); got != want {
					t.Errorf("the loader: got %s %q, want %q", name, got, want)
				}
			}
			named := slices.Concat(assetsOf(page.body), assetsOf(loader.body))
			for _, pack := range []string{"ar", "de", "es", "fr", "ja", "pt", "zh"} {
				named = append(named, strings.Replace(assetsOf(loader.body)[0], "panel", pack, 1)) // as the panel finds it
			}
			if len(named) < 10 {
				t.Fatalf("files that the page and the loader name: got %v, want the panel, a style sheet, the demo's script and the languages", named)
			}
			for _, file := range named {
				a := d.ask("GET", base+"/"+file, "")
				for name, want := range map[string]string{
					"Access-Control-Allow-Origin": "*", "Cross-Origin-Resource-Policy": "cross-origin",
					"Cache-Control": "public, max-age=31536000, immutable", "X-Content-Type-Options": "nosniff",
				} {
					if got := a.header.Get(name); got != want {
						t.Errorf("%s: got %s %q, want %q", file, name, got, want)
					}
				}
				if hash := hashIn.FindString(file); a.status != http.StatusOK || hash != hashIn.FindString(named[0]) {
					t.Errorf("%s: got %d, want 200 and the hash of %s", file, a.status, named[0])
				}
				// An older relay's name, as a cached loader may ask for it.
				old := hashIn.ReplaceAllString(file, ".0123456789ab.")
				b := d.ask("GET", base+"/"+old, "")
				if b.status != http.StatusOK || b.body != a.body || b.header.Get("Cache-Control") != "no-store" {
					t.Errorf("%s: got %d, Cache-Control %q, want today's content, kept by nobody", old, b.status, b.header.Get("Cache-Control"))
				}
				if c := d.ask("GET", base+"/"+file, "", "If-None-Match", a.header.Get("ETag")); c.status != http.StatusNotModified {
					t.Errorf("%s, asked for again: got %d, want 304", file, c.status)
				}
				if h := d.ask("HEAD", base+"/"+file, ""); h.status != http.StatusOK || h.body != "" {
					t.Errorf("HEAD %s: got %d and %d bytes, want 200 and none", file, h.status, len(h.body))
				}
			}
			missing := d.ask("GET", base+"/assets/nothing.0123456789ab.js", "")
			refused(t, "a file that never was", missing, 404, "not_found")
			if got := missing.header.Get("Cache-Control"); got != "no-store" {
				t.Errorf("a file that never was: got Cache-Control %q, want no-store", got)
			}
			refused(t, "the page as a file", d.ask("GET", base+"/assets/index.html", ""), 404, "not_found")
			refused(t, "the bare loader as a file", d.ask("GET", base+"/assets/widget.js", ""), 404, "not_found")
			if base == "" {
				return
			}
			if a := d.ask("GET", base, ""); a.status != http.StatusPermanentRedirect || a.header.Get("Location") != base+"/" {
				t.Errorf("%s: got %d to %q, want 308 to %s/", base, a.status, a.header.Get("Location"), base)
			}
			for _, path := range []string{"/", "/widget.js", "/healthz", "/readyz", "/v1/session", base + "x/v1/session", base + base + "/v1/session"} {
				refused(t, path+" outside of the base path", d.ask("GET", path, ""), 404, "not_found")
			}
		})
	}
}

func TestTheNamesOfFilesChangeWithTheirContent(t *testing.T) {
	panel := func(pack string) string {
		t.Helper()
		url, err := relay.PanelURL(fstest.MapFS{
			"index.html": {}, "widget.js": {Data: []byte(`"__RELAY_CONFIG__"`)}, "panel.js": {Data: []byte("1")}, "de.js": {Data: []byte(pack)},
		})
		if err != nil {
			t.Fatal(err)
		}
		return url
	}
	if a, b := panel("eins"), panel("eins"); a != b {
		t.Errorf("the same files: got %s and %s, want one name", a, b)
	}
	if a, b := panel("eins"), panel("zwei"); a == b {
		t.Errorf("another pack: got %s for both, want another name", a)
	}
}

func TestTheWidgetIsServedCompressedAndStaysSmall(t *testing.T) {
	d := newDesk(t, func(c *relay.Config) { c.Look.Title = "Ask us" })
	total := 0
	measure := func(path string) string {
		t.Helper()
		plain := d.ask("GET", path, "").body
		zipped := d.ask("GET", path, "", "Accept-Encoding", "br, gzip;q=0.8")
		if zipped.header.Get("Content-Encoding") != "gzip" || zipped.header.Get("Vary") != "Accept-Encoding" {
			t.Fatalf("%s: got %v, want gzip that varies with what the browser takes", path, zipped.header)
		}
		r, err := gzip.NewReader(strings.NewReader(zipped.body))
		if err != nil {
			t.Fatal(err)
		}
		if got, err := io.ReadAll(r); err != nil || string(got) != plain {
			t.Fatalf("%s: got other content compressed than plain, error %v", path, err)
		}
		if a := d.ask("GET", path, "", "Accept-Encoding", "gzip", "If-None-Match", zipped.header.Get("ETag")); a.status != http.StatusNotModified {
			t.Errorf("%s, asked for again: got %d, want 304", path, a.status)
		}
		for _, refusal := range []string{"br", "gzip;q=0", "gzip; q=0.0"} {
			if a := d.ask("GET", path, "", "Accept-Encoding", refusal); a.header.Get("Content-Encoding") != "" || a.body != plain {
				t.Errorf("%s for %q: got %q, want it plain", path, refusal, a.header.Get("Content-Encoding"))
			}
		}
		total += len(zipped.body)
		return plain
	}
	panel := assetsOf(measure("/widget.js"))[0]
	if total > 3<<10 {
		t.Errorf("the loader: got %d bytes, want at most 3 KiB", total)
	}
	measure("/" + panel)
	if total > 30<<10 {
		t.Errorf("loader and panel: got %d bytes, want at most 30 KiB", total)
	}
}

// configOf is the configuration in the loader, read as a browser's parser of
// scripts would.
func configOf(t *testing.T, loader string) (config map[string]any) {
	t.Helper()
	i := strings.Index(loader, `{"panel":`)
	if i < 0 {
		t.Fatal("the loader holds no configuration")
	}
	if err := json.NewDecoder(strings.NewReader(loader[i:])).Decode(&config); err != nil {
		t.Fatal(err)
	}
	return config
}

func TestWhatTheOperatorSetsIsInTheLoader(t *testing.T) {
	d := newDesk(t, func(c *relay.Config) {
		c.BootOnOpen, c.PublicURL, c.BasePath = true, "https://chat.example/chat", "/chat"
		c.Look = relay.Look{Title: "Ask us", Greeting: "Hi & welcome", Starters: []string{"One?", "Two?"}, Accent: "#123456", Locale: "de"}
	})
	loader := d.ask("GET", "/chat/widget.js", "").body
	if strings.Contains(loader, "__RELAY_CONFIG__") {
		t.Error("the loader holds the placeholder of its configuration")
	}
	got := configOf(t, loader)
	panel, _ := got["panel"].(string)
	if a := d.ask("GET", "/chat/"+panel, ""); a.status != http.StatusOK || !strings.HasPrefix(panel, "assets/panel.") {
		t.Errorf("panel: got %q, which answers %d, want the panel's URL", panel, a.status)
	}
	delete(got, "panel")
	want := map[string]any{
		"src": "https://chat.example/chat/widget.js", "boot": "open", "title": "Ask us", "greeting": "Hi & welcome", "starters": []any{"One?", "Two?"}, "accent": "#123456", "locale": "de",
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("got %v, want %v", got, want)
	}
	plain := configOf(t, newDesk(t, nil).ask("GET", "/widget.js", "").body)
	if len(plain) != 1 || plain["panel"] != panel {
		t.Errorf("nothing set: got %v, want the panel's URL and nothing else", plain)
	}
}

func TestThePlaygroundIsTheDemosAlone(t *testing.T) {
	serve := newDesk(t, nil)
	if got := serve.ask("GET", "/playground", "").status; got != http.StatusNotFound {
		t.Errorf("serving: got %d, want 404", got)
	}
	demo := newDesk(t, func(c *relay.Config) {
		c.Triggers = []relay.Trigger{{Word: "table", Shows: "a table"}}
		c.PublicURL = "https://chat.example/"
	})
	got, page := demo.ask("GET", "/playground", ""), demo.ask("GET", "/", "")
	if got.status != http.StatusOK || !strings.Contains(got.body, `data-src="https://chat.example/widget.js"`) {
		t.Errorf("the demo: got %d %s, want 200 and the address of the widget", got.status, got.body)
	}
	for _, name := range []string{"Content-Security-Policy", "Referrer-Policy", "X-Content-Type-Options", "Cache-Control"} {
		if got, want := got.header.Get(name), page.header.Get(name); got != want || want == "" {
			t.Errorf("%s: got %q, want %q as on the page", name, got, want)
		}
	}
}

func TestWhatTheOperatorSetsIsTextAndNothingElse(t *testing.T) {
	for _, hostile := range []string{
		`</script><script>alert(1)</script>`, `<img src=x onerror=alert(1)>`, `"><script>alert(1)</script>`, `'"` + "`" + `${alert(1)}`,
		`{{.}}{{template "x"}}`, "\u2028alert(1)\u2029", `<!--<script>`, `\u003cscript\u003e`, `__RELAY_CONFIG__`, `"__RELAY_CONFIG__"`,
	} {
		d := newDesk(t, func(c *relay.Config) {
			c.Look = relay.Look{Title: hostile, Greeting: hostile, Starters: []string{hostile}, Accent: hostile, Locale: hostile}
			c.Triggers = []relay.Trigger{{Word: hostile, Shows: hostile}}
			c.PublicURL = "https://chat.example/" + hostile
		})
		loader, page := d.ask("GET", "/widget.js", "").body, d.ask("GET", "/", "").body
		config := configOf(t, loader)
		for _, name := range []string{"title", "greeting", "accent", "locale"} {
			if config[name] != hostile {
				t.Errorf("%q as %s: got %q in the loader, want it as it is", hostile, name, config[name])
			}
		}
		i := strings.Index(loader, `{"panel":`)
		j := i + strings.Index(loader[i:], "}")
		for _, bad := range []string{"<", ">", "\u2028", "\u2029"} {
			if strings.Contains(loader[i:j], bad) {
				t.Errorf("%q: got %s in the loader, want no %q in it", hostile, loader[i:j], bad)
			}
		}
		for _, bad := range []string{"<script>", "<img", "<!--<"} {
			if strings.Contains(page, bad) {
				t.Errorf("%q: got %s, want no %s in the page", hostile, page, bad)
			}
		}
	}
}

func TestHealthSaysOnlyThatTheRelayIsAlive(t *testing.T) {
	d := newDesk(t, nil)
	a := d.ask("GET", "/healthz", "")
	if a.status != http.StatusOK || a.body != "ok\n" || a.header.Get("Cache-Control") != "no-store" {
		t.Errorf("got %d %q %v, want 200 ok, kept by nobody", a.status, a.body, a.header)
	}
	if a := d.ask("GET", "/readyz", ""); a.status != http.StatusOK || a.body != `{"ready":true,"reasons":[]}`+"\n" || a.header.Get("Cache-Control") != "no-store" {
		t.Errorf("got %d %q %v, want 200, ready, kept by nobody", a.status, a.body, a.header)
	}
}

// reasons waits until /readyz gives these reasons for not being ready.
func (r *rig) reasons(want ...string) {
	r.t.Helper()
	body := func() string {
		a := (&browser{r: r}).do("GET", "/readyz", "")
		if ready := a.json["ready"] == true; ready != (a.status == http.StatusOK) || (!ready && a.status != http.StatusServiceUnavailable) {
			r.t.Errorf("got %d %s, want 200 when ready and 503 when not", a.status, a.body)
		}
		return a.body
	}
	list, _ := json.Marshal(append([]string{}, want...))
	expected := fmt.Sprintf(`{"ready":%v,"reasons":%s}`+"\n", len(want) == 0, list)
	deadline := time.Now().Add(patience)
	for got := body(); got != expected; got = body() {
		if time.Now().After(deadline) {
			r.t.Fatalf("readyz: got %s, want %s", got, expected)
		}
	}
}

func TestARelayThatEndsIsNotReady(t *testing.T) {
	r := newRig(t, nil)
	v := r.visitor()
	r.reasons()
	r.srv.Drain(t.Context())
	r.reasons("draining")
	for _, call := range []struct{ method, path, body string }{
		{"POST", "/v1/messages", `{"text":"hi"}`}, {"POST", "/v1/session", ""}, {"GET", "/v1/events", ""}, {"POST", "/v1/responses", `{"id":"p1-1","answer":"x"}`},
	} {
		a := v.do(call.method, call.path, call.body)
		refused(t, call.method+" "+call.path, a, 503, "draining")
		if a.header.Get("Retry-After") == "" {
			t.Errorf("%s %s: got no Retry-After, want one", call.method, call.path)
		}
	}
	refused(t, "a new visitor", (&browser{r: r}).do("POST", "/v1/visitor", `{}`), 503, "draining")
	for _, path := range []string{"/healthz", "/", "/v1/session"} {
		if a := v.do("GET", path, ""); a.status != http.StatusOK {
			t.Errorf("%s: got %d, want 200", path, a.status)
		}
	}
}

func TestARelayWithoutItsStoreIsNotReady(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "relay.db")
	r := newRig(t, func(c *relay.Config) { c.Store = "sqlite:" + path })
	v := r.visitor()
	r.reasons()

	db, err := sql.Open("sqlite", path) // by the driver that the store registers
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	conn, err := db.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := conn.ExecContext(t.Context(), "BEGIN IMMEDIATE"); err != nil { // nobody else can write
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for range 5 { // however many ask, the store is tried by one
		wg.Go(func() { r.reasons("the store cannot be reached") })
	}
	wg.Wait()
	if a := v.do("GET", "/healthz", ""); a.status != http.StatusOK {
		t.Errorf("healthz: got %d, want 200", a.status)
	}
	if _, err := conn.ExecContext(t.Context(), "ROLLBACK"); err != nil {
		t.Fatal(err)
	}
	r.reasons()
	v.say("all is well again", "k1")
	logs := r.logs.String()
	if a, b := strings.Count(logs, `"the store cannot be reached"`), strings.Count(logs, `"the store is back"`); a != 1 || b != 1 {
		t.Errorf("log: got %d times that the store is gone and %d times that it is back, want each once", a, b)
	}
}

func TestARefusedKeyIsNotReadyAndSaidOnce(t *testing.T) {
	const canary = "the-words-of-anyframe"
	r := newRig(t, nil, anyframetest.WithAgent(1, talk))
	v := r.visitor()
	v.say("hello", "k1")
	x := v.open("")
	x.turnEnds(1)

	for _, status := range []int{401, 403} {
		r.plane.Inject(anyframetest.Fault{Kind: anyframetest.Respond, Status: status, Body: `{"detail":"` + canary + `"}`})
		watch, stop := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		wg.Go(func() { r.srv.Run(watch) })
		r.reasons("AnyFrame refuses our key")
		before := r.plane.Count(anyframetest.OpAny)
		for i := range 10 {
			v := v
			if i%2 == 1 {
				v = r.visitor()
			}
			a := v.do("POST", "/v1/messages", `{"text":"hi"}`)
			if v.token == "" || a.status == http.StatusAccepted {
				t.Errorf("a message: got %d %s, want it refused", a.status, a.body)
			}
			refused(t, "a message", a, 503, "upstream_unavailable")
			if a.header.Get("Retry-After") == "" || strings.Contains(a.body, canary) {
				t.Errorf("a message: got %s, want when to come back and nothing of AnyFrame's words", a.body)
			}
		}
		if n := r.plane.Count(anyframetest.OpAny) - before; n > 1 {
			t.Errorf("requests with a refused key: got %d, want none but the one that tries it", n)
		}
		stop()
		wg.Wait()

		// The key is mended: whoever tries it next finds that out.
		r.plane.ClearFaults()
		watch, stop = context.WithCancel(t.Context())
		wg.Go(func() { r.srv.Run(watch) })
		r.reasons()
		if a := v.do("POST", "/v1/messages", `{"text":"hi again"}`); a.status != http.StatusAccepted {
			t.Errorf("with a good key: got %d %s, want 202", a.status, a.body)
		}
		stop()
		wg.Wait()
	}
	logs := r.logs.String()
	if a, b := strings.Count(logs, "AnyFrame refuses the key"), strings.Count(logs, "AnyFrame accepts the key again"); a != 2 || b != 2 {
		t.Errorf("log: got %d times that the key is refused and %d times that it is good again, want each twice", a, b)
	}
}

func TestNothingThatAnyFrameSaysInAnErrorReachesAVisitor(t *testing.T) {
	const canary = "the-words-of-anyframe"
	for _, status := range []int{400, 402, 404, 409, 410, 418, 422, 429, 500, 502, 503, 504} {
		t.Run(http.StatusText(status), func(t *testing.T) {
			t.Parallel()
			r := newRig(t, func(c *relay.Config) {
				c.SendWait, c.BootTimeout, c.UpstreamTimeout = time.Second, time.Second, time.Second
			},
				anyframetest.WithAgent(1, talk))
			old, fresh := r.visitor(), r.visitor()
			old.say("hello", "k1")
			x := old.open("")
			x.turnEnds(1)
			x.close()
			r.plane.Inject(anyframetest.Fault{
				Kind: anyframetest.Respond, Status: status, RetryAfter: "1",
				Body: `{"detail":"` + canary + `","message":"` + canary + `","error":"` + canary + `"}`,
			})
			for _, v := range []*browser{old, fresh} {
				for _, call := range []struct{ method, path, body string }{
					{"POST", "/v1/visitor", `{"carrier":"bearer"}`},
					{"GET", "/v1/session", ""},
					{"POST", "/v1/messages", `{"text":"again"}`},
					{"GET", "/v1/transcript", ""},
					{"POST", "/v1/session", ""},
					{"DELETE", "/v1/session", ""},
				} {
					a := v.do(call.method, call.path, call.body)
					if strings.Contains(a.body+fmt.Sprint(a.header), canary) {
						t.Errorf("%s %s: got %s, want nothing of AnyFrame's words", call.method, call.path, a.body)
					}
					switch a.status {
					case 200, 202, 204:
					case 502, 503, 504:
						refused(t, call.path, a, a.status, a.code())
					default:
						t.Errorf("%s %s: got %d %s, want 502, 503 or 504", call.method, call.path, a.status, a.body)
					}
				}
			}
		})
	}
}

func TestTheLoaderMayBePinnedByItsHash(t *testing.T) {
	d := newDesk(t, nil)
	hash := func() string {
		sum := sha256.Sum256([]byte(d.ask("GET", "/widget.js", "").body))
		return base64.StdEncoding.EncodeToString(sum[:])
	}
	if a, b := hash(), hash(); a != b {
		t.Errorf("got %s, then %s, want the same bytes every time", a, b)
	}
}
