package main

import (
	"io"
	"net/http"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/anyframe-relay/relay/anyframe/anyframetest"
	"github.com/anyframe-relay/relay/tools/testtools"
)

func TestDemo_NoSettings_PrintsURL(t *testing.T) {
	relay := launch(t, "demo")
	url := regexp.MustCompile(`Open (http://localhost:\d+/) in a browser`)
	var found []string
	for deadline := time.Now().Add(patience); found == nil; found = url.FindStringSubmatch(relay.output()) {
		if time.Now().After(deadline) {
			t.Fatalf("no URL in %s", relay.output())
		}
	}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, found[1], nil)
	if err != nil {
		t.Fatal(err)
	}
	res, err := testtools.Client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	html, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	for _, trigger := range anyframetest.DemoTriggers() {
		if !strings.Contains(string(html), `data-word="`+trigger.Word+`"`) {
			t.Errorf("the page does not offer %q", trigger.Word)
		}
	}
	if !strings.Contains(string(html), "&lt;script async src=&#34;"+found[1]+"widget.js&#34;&gt;") {
		t.Error("the page does not show the tag that embeds the widget")
	}
	token := mint(t, relay.url)
	if code, out := call(t, "POST", relay.url+"/v1/messages", token, `{"text":"a table please"}`); code != 202 {
		t.Fatalf("POST /v1/messages: got %d %v, want 202", code, out)
	}
	var pg page
	pg.listen(t, relay.url, token, func() bool { return pg.has("turn_end") })
	if !strings.Contains(strings.Join(pg.got, "\n"), `| --- |`) && !strings.Contains(strings.Join(pg.got, "\n"), `|---`) {
		t.Errorf("no table in the answer:\n%s", strings.Join(pg.got, "\n"))
	}
}

// The demo has neither the keys nor the agents of the file.
func TestDemo_Sites_ScriptedAgentAnswersForAll(t *testing.T) {
	t.Parallel()
	file := siteFile(t, "sites:\n  a: {agent_id: 7}\n  b: {agent_id: 8, api_key_env: OTHER_KEY, base_url: https://api.example.com}\n")
	p := launch(t, "demo", "RELAY_CONFIG="+file, "OTHER_KEY=afm_other1234", "RELAY_ADMIN_ADDR=127.0.0.1:0")
	answers := func(site string) {
		token := mint(t, p.url+"/s/"+site)
		if code, out := call(t, "POST", p.url+"/s/"+site+"/v1/messages", token, `{"text":"hello"}`); code != 202 {
			t.Errorf("site %s: got %d %v, want 202", site, code, out)
		}
	}
	answers("a")
	answers("b")
	if err := os.WriteFile(file, []byte("sites:\n  b: {agent_id: 9, api_key_env: OTHER_KEY}\n  c: {agent_id: 10}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if code, _, errs := execute(t, nil, "reload", "--admin", p.admin()); code != exitOK {
		t.Fatalf("relay reload: got %d %s", code, errs)
	}
	answers("b")
	answers("c")
}

func TestDemo_PublicURL_Printed(t *testing.T) {
	t.Parallel()
	p := launch(t, "demo", "RELAY_PUBLIC_URL=https://chat.example.com/chat", "RELAY_BASE_PATH=/chat")
	until(t, "the public URL", func() bool { return strings.Contains(p.output(), "Open https://chat.example.com/chat/ in a browser") })
}
