package main

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/anyframe-relay/relay/tools/testtools"
)

// admin returns the address on which a relay listens for operators.
func (p *process) admin() string {
	p.t.Helper()
	for line := range strings.Lines(p.output()) {
		var entry struct{ Msg, Addr string }
		if json.Unmarshal([]byte(line), &entry) == nil && entry.Msg == "admin" {
			return "http://" + entry.Addr
		}
	}
	p.t.Fatalf("the log names no admin address:\n%s", p.output())
	return ""
}

func TestAdmin_RequestFromWebsite_Refused(t *testing.T) {
	t.Parallel()
	admin := launch(t, "demo", "RELAY_ADMIN_ADDR=127.0.0.1:0", "RELAY_ADMIN_HOSTS=Relay.internal, metrics").admin()
	_, port, _ := strings.Cut(strings.TrimPrefix(admin, "http://"), ":")
	for name, tt := range map[string]struct {
		method, path, host string
		headers            []string
		want               int
	}{
		"Prometheus":                    {"GET", "/metrics", "", nil, 200},
		"an address typed in":           {"GET", "/debug/pprof/", "localhost:" + port, []string{"Sec-Fetch-Site", "none"}, 200},
		"a link on the page":            {"GET", "/debug/pprof/cmdline", "", []string{"Sec-Fetch-Site", "same-origin"}, 200},
		"a name that is meant":          {"GET", "/metrics", "relay.internal:" + port, nil, 200},
		"a name that is meant, again":   {"GET", "/metrics", "METRICS", nil, 200},
		"beside a name that is meant":   {"GET", "/metrics", "a.relay.internal", nil, 421},
		"over IPv6":                     {"GET", "/metrics", "[::1]:" + port, nil, 200},
		"curl":                          {"POST", "/debug/free", "", nil, 200},
		"a page that asks":              {"GET", "/debug/pprof/profile?seconds=1", "", []string{"Sec-Fetch-Site", "cross-site"}, 403},
		"a page beside it":              {"GET", "/metrics", "", []string{"Sec-Fetch-Site", "same-site"}, 403},
		"a page that posts":             {"POST", "/debug/free", "", []string{"Origin", "https://evil.example"}, 403},
		"a name made to mean us":        {"GET", "/metrics", "evil.example:" + port, nil, 421},
		"the same, of its own page":     {"GET", "/metrics", "evil.example:" + port, []string{"Sec-Fetch-Site", "same-origin", "Origin", "http://evil.example:" + port}, 421},
		"a name that looks like us":     {"GET", "/metrics", "localhost.evil.example", nil, 421},
		"a name that looks like digits": {"GET", "/metrics", "127.0.0.1.evil.example", nil, 421},
	} {
		req, err := http.NewRequestWithContext(t.Context(), tt.method, admin+tt.path, nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Host = tt.host
		for pair := range slices.Chunk(tt.headers, 2) {
			req.Header.Set(pair[0], pair[1])
		}
		res, err := testtools.Client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		if res.StatusCode != tt.want {
			t.Errorf("%s: got %d, want %d", name, res.StatusCode, tt.want)
		}
	}
}
