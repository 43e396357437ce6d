package relay_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/anyframe-relay/relay/relay"
)

// configOf returns the configuration in the loader, read as a browser's script parser
// would.
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

func TestWidget_OperatorSettings_InLoader(t *testing.T) {
	d := newOffline(t, func(c *relay.Config) {
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
	plain := configOf(t, newOffline(t, nil).ask("GET", "/widget.js", "").body)
	if len(plain) != 1 || plain["panel"] != panel {
		t.Errorf("nothing set: got %v, want the panel's URL and nothing else", plain)
	}
}

func TestWidget_Playground_DemoOnly(t *testing.T) {
	serve := newOffline(t, nil)
	if got := serve.ask("GET", "/playground", "").status; got != http.StatusNotFound {
		t.Errorf("serving: got %d, want 404", got)
	}
	demo := newOffline(t, func(c *relay.Config) {
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

func TestWidget_OperatorSettings_EscapedAsText(t *testing.T) {
	for _, hostile := range []string{
		`</script><script>alert(1)</script>`, `<img src=x onerror=alert(1)>`, `"><script>alert(1)</script>`, `'"` + "`" + `${alert(1)}`,
		`{{.}}{{template "x"}}`, "\u2028alert(1)\u2029", `<!--<script>`, `\u003cscript\u003e`, `__RELAY_CONFIG__`, `"__RELAY_CONFIG__"`,
	} {
		d := newOffline(t, func(c *relay.Config) {
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
