package main

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/anyframe-relay/relay/anyframe/anyframetest"
	"github.com/anyframe-relay/relay/relay"
)

var update = flag.Bool("update", false, "rewrite .env.example")

// from returns an environment of vars and, if file is not empty, a .env file.
func from(t *testing.T, vars map[string]string, file string) environment {
	t.Helper()
	path := filepath.Join(t.TempDir(), ".env")
	if file != "" {
		if err := os.WriteFile(path, []byte(file), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	e, err := readEnvironment(lookup(vars), path)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func lookup(vars map[string]string) func(string) (string, bool) {
	return func(name string) (string, bool) { v, ok := vars[name]; return v, ok }
}

func TestSettings_EnvExample_MatchesTable(t *testing.T) {
	const path = "../../.env.example"
	if *update {
		if err := os.WriteFile(path, []byte(example()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != example() {
		t.Error(".env.example differs from the table of settings; run go test ./cmd/relay -update")
	}
}

func TestSettings_Help_ListsEverySetting(t *testing.T) {
	var out bytes.Buffer
	help(&out)
	for _, s := range table() {
		if !strings.Contains(out.String(), "  "+s.name+" ") {
			t.Errorf("help lacks %s", s.name)
		}
	}
}

func TestSettings_DefaultsShown_AreTheDefaults(t *testing.T) {
	for _, set := range table() {
		if set.fallback == "" || set.name == "ANYFRAME_BASE_URL" { // its default is in the AnyFrame client
			continue
		}
		got := defaults()
		if err := set.read(got, set.fallback); err != nil {
			t.Errorf("%s=%s: %v", set.name, set.fallback, err)
		}
		if want := defaults(); !reflect.DeepEqual(got, want) {
			t.Errorf("%s=%s changes something; it is shown as the default", set.name, set.fallback)
		}
	}
}

func TestSettings_EnvironmentAndFile_EnvironmentWins(t *testing.T) {
	e := from(t, map[string]string{"RELAY_TITLE": "from the environment", "RELAY_ADMIN_ADDR": ""},
		"\ufeffRELAY_TITLE=from the file\nRELAY_ACCENT='#123456'\nRELAY_ADMIN_ADDR=:1\n")
	s := defaults()
	if err := e.read(s); err != nil {
		t.Fatal(err)
	}
	if s.relay.Look.Title != "from the environment" || s.relay.Look.Accent != "#123456" {
		t.Errorf("got title %q and accent %q, want the environment's and the file's", s.relay.Look.Title, s.relay.Look.Accent)
	}
	if s.admin != "" {
		t.Errorf("admin address: got %q, want none: it is set to nothing", s.admin)
	}
}

// Compose files often set a variable to nothing.
func TestSettings_EmptyAddress_LeavesPort(t *testing.T) {
	for name, vars := range map[string]map[string]string{
		":9000":          {"PORT": "9000", "RELAY_ADDR": ""},
		":9001":          {"PORT": "9001"},
		"127.0.0.1:9002": {"PORT": "9003", "RELAY_ADDR": "127.0.0.1:9002"},
		":8080":          {"PORT": "", "RELAY_ADDR": ""},
	} {
		s := defaults()
		if err := from(t, vars, "").read(s); err != nil || s.addr != name {
			t.Errorf("%v: got %s and %v, want %s", vars, s.addr, err, name)
		}
	}
}

func TestSettings_BaseURLFromFileWithForeignKey_Ignored(t *testing.T) {
	const file = "ANYFRAME_BASE_URL=https://elsewhere.example\n"
	for name, tc := range map[string]struct {
		vars map[string]string
		file string
		want string
	}{
		"key from the environment":          {map[string]string{"ANYFRAME_API_KEY": "afm_x1234"}, file, ""},
		"old key name, from the file":       {nil, file + "ANYFRAME_API_TOKEN=afm_x1234\n", "https://elsewhere.example"},
		"key from the file":                 {nil, file + "ANYFRAME_API_KEY=afm_x1234\n", "https://elsewhere.example"},
		"both from the environment":         {map[string]string{"ANYFRAME_API_KEY": "afm_x1234", "ANYFRAME_BASE_URL": "https://a.example"}, file, "https://a.example"},
		"old key name from the environment": {map[string]string{"ANYFRAME_API_TOKEN": "afm_x1234"}, file, ""},
	} {
		t.Run(name, func(t *testing.T) {
			s := defaults()
			if err := from(t, tc.vars, tc.file).read(s); err != nil {
				t.Fatal(err)
			}
			if s.relay.BaseURL != tc.want {
				t.Errorf("base URL: got %q, want %q", s.relay.BaseURL, tc.want)
			}
			if s.relay.APIKey != "afm_x1234" {
				t.Errorf("key: got another, want afm_x")
			}
		})
	}
}

func TestSettings_MalformedFile_LineNamedNotQuoted(t *testing.T) {
	for name, file := range map[string]string{
		"unterminated": "RELAY_TITLE=x\nANYFRAME_API_KEY=\"afm_secretsecret\n",
		"no equals":    "RELAY_TITLE=x\nAFM afm_secretsecret\n",
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), ".env")
			if err := os.WriteFile(path, []byte(file), 0o600); err != nil {
				t.Fatal(err)
			}
			_, err := readEnvironment(lookup(nil), path)
			if err == nil || !strings.Contains(err.Error(), "line 2") {
				t.Fatalf("got %v, want an error that names line 2", err)
			}
			if strings.Contains(err.Error(), "secret") {
				t.Errorf("the error quotes the file: %v", err)
			}
		})
	}
}

func TestSettings_InvalidValue_RefusedByName(t *testing.T) {
	bad := map[string]string{
		"ANYFRAME_AGENT_ID": "seven", "PORT": "70000", "RELAY_APPROVALS": "maybe", "RELAY_BOOT": "never",
		"RELAY_IDENTITY_KEY": "x", "RELAY_IDLE_TIMEOUT": "5", "RELAY_RATE_IP": "12", "RELAY_MAX_SESSIONS": "-1",
		"RELAY_MAX_MESSAGE": "16 parrots", "RELAY_TRUSTED_PROXIES": "header:Fly-Client-IP", "RELAY_LOG_LEVEL": "loud", "RELAY_STORE": "foo:", "ANYFRAME_BASE_URL": "ftp://x", "RELAY_ADDR": "nonsense", "RELAY_ADMIN_ADDR": "bogus", "ANYFRAME_LOG_LEVEL": "chatty",
		"RELAY_LOG_FORMAT": "xml", "OTEL_EXPORTER_OTLP_ENDPOINT": "localhost:4317", "RELAY_BASE_PATH": "chat/", "RELAY_PUBLIC_URL": "ftp://x", "RELAY_ALLOWED_ORIGINS": "https://a.example/path",
		"RELAY_VISIBILITY": "some", "RELAY_ATTACHMENT_TYPES": "video/mp4", "RELAY_BOOT_TIMEOUT": "1ms", "RELAY_REPLAY_EVENTS": "0",
	}
	s := defaults()
	err := from(t, bad, "").read(s)
	got := strings.Join(problems(err, s.relay.Validate()), "\n")
	for name := range bad {
		if n := len(regexp.MustCompile(`(?m)^`+name+`\b`).FindAllString(got, -1)); n != 1 {
			t.Errorf("%s is named %d times, want once, in\n%s", name, n, got)
		}
	}
	if !strings.Contains(got, "ANYFRAME_API_KEY is not set") {
		t.Errorf("the missing key is not named in\n%s", got)
	}
}

// Every setting with an amount refuses what could overflow, with the valid range.
func TestSettings_Amounts_RangeSaidAtOnce(t *testing.T) {
	t.Parallel()
	amount := regexp.MustCompile(`^(\d+[a-zA-Z]*|\d+/\w.*)$`)
	found := 0
	for _, set := range table() {
		lists := strings.Contains(set.name, "_RATE_")
		if !amount.MatchString(set.fallback) && !strings.HasSuffix(set.name, "_PER_DAY") && set.name != "RELAY_RETENTION" {
			continue
		}
		found++
		for _, value := range []string{
			"-1", "9223372036854775807", "9223372036854775808", "-9223372036854775808", "2562047h", "2562047h47m16s", "-1h", "106751d", "9223372036854775807d",
			"9223372036854775807B", "9007199254740991KiB", "9223372036854775807/m", "-1/m", "none",
		} {
			err := from(t, map[string]string{set.name: value}, "").read(defaults())
			if err == nil || !strings.HasPrefix(err.Error(), set.name+" must be ") || !strings.Contains(err.Error(), "from ") || !strings.Contains(err.Error(), " to ") {
				t.Errorf("%s=%s: got %v, want the range", set.name, value, err)
			}
		}
		if zero := from(t, map[string]string{set.name: "0"}, "").read(defaults()); !lists && zero != nil && !strings.Contains(zero.Error(), "from 1") {
			t.Errorf("%s=0: got %v, want it valid or the range", set.name, zero)
		}
	}
	if found < 20 {
		t.Errorf("got %d settings with amounts, want all", found)
	}
}

// The relay works with the largest amount of every setting at once.
func TestServe_LargestAmounts_VisitorServed(t *testing.T) {
	t.Parallel()
	const count, long, large, rate = "1000000000", "438000h", "1024GiB", "1000000000/s,1000000000/m,1000000000/h,1000000000/d"
	plane := anyframetest.Start(t)
	key := strings.Repeat("k", 32)
	vars := append(upstream(plane), "RELAY_STORE=sqlite:"+filepath.Join(t.TempDir(), "relay.db"), "RELAY_CHALLENGE=auto", "RELAY_IDENTITY_KEY="+key, "RELAY_RETENTION=18250d",
		"RELAY_MAX_ATTACHMENTS=1000")
	for most, names := range map[string][]string{
		count: {"TURNS_PER_DAY", "MAX_SESSIONS", "SESSIONS_PER_DAY", "MAX_STREAMS", "STREAMS_PER_VISITOR", "STREAMS_PER_IP", "REPLAY_EVENTS"},
		long:  {"IDLE_TIMEOUT", "BOOT_TIMEOUT", "SEND_WAIT", "UPSTREAM_TIMEOUT", "VISITOR_TTL", "STREAM_LIFETIME"},
		large: {"MAX_CONTEXT", "MAX_MESSAGE", "MAX_ATTACHMENT", "REPLAY_BYTES"},
		rate:  {"RATE_MESSAGES", "RATE_IP", "RATE_SESSIONS"},
	} {
		for _, name := range names {
			vars = append(vars, "RELAY_"+name+"="+most)
		}
	}
	p := launch(t, "serve", vars...)
	signIn, err := jwt.NewWithClaims(jwt.SigningMethodHS256, jwt.MapClaims{"sub": "ann", "exp": time.Now().Add(time.Minute).Unix()}).SignedString([]byte(key))
	if err != nil {
		t.Fatal(err)
	}
	for range 2 { // the same person on two devices
		r := ask(t, "POST", p.url+"/v1/visitor", "", `{"carrier":"bearer","identity":"`+signIn+`"}`)
		var visitor struct{ Token string }
		if err := json.Unmarshal([]byte(r.body), &visitor); err != nil || r.code != 200 {
			t.Fatalf("sign-in: got %+v, want 200", r)
		}
		if r := ask(t, "POST", p.url+"/v1/messages", visitor.Token, `{"text":"hello"}`); r.code != 202 {
			t.Errorf("message: got %+v, want 202", r)
		}
	}
	if n := len(plane.Sessions()); n != 1 {
		t.Errorf("got %d sandboxes, want one of the one person", n)
	}
}

func TestSettings_BadRates_Refused(t *testing.T) {
	for _, name := range []string{"RELAY_RATE_MESSAGES", "RELAY_RATE_IP", "RELAY_RATE_SESSIONS"} {
		for _, value := range []string{
			"0/d", "-1/m", "20/m,", ",20/m", "20/m,,300/d", "20/w", "20/", "20", "/d", "20/m,30/m", "1/d,2/h,3/d", "off,20/m", "20/M", "99999999999999999999/d",
		} {
			if err := from(t, map[string]string{name: value}, "").read(defaults()); err == nil || !strings.HasPrefix(err.Error(), name) {
				t.Errorf("%s=%s: got error %v, want it refused by name", name, value, err)
			}
		}
	}
	for _, value := range []string{"0", "-1", "many", "10/d"} {
		if err := from(t, map[string]string{"RELAY_TURNS_PER_DAY": value}, "").read(defaults()); err == nil {
			t.Errorf("RELAY_TURNS_PER_DAY=%s: got it taken, want it refused", value)
		}
	}
}

func TestSettings_ValidValues_Read(t *testing.T) {
	s := defaults()
	err := from(t, map[string]string{
		"PORT": "9000", "RELAY_RATE_MESSAGES": "off", "RELAY_RATE_SESSIONS": "3/s, 50/d", "RELAY_MAX_MESSAGE": "2MiB", "RELAY_REPLAY_BYTES": "4096",
		"RELAY_TRUSTED_PROXIES": "header:Fly-Client-IP, 172.16.0.0/12 fd00::1", "RELAY_STARTERS": "One? | Two, three?", "RELAY_APPROVALS": "visitor",
	}, "").read(s)
	if err != nil {
		t.Fatal(err)
	}
	c := s.relay
	if s.addr != ":9000" || c.RateMessages != nil || !reflect.DeepEqual(c.RateSessions, relay.Rates{{Limit: 3, Window: time.Second}, {Limit: 50, Window: 24 * time.Hour}}) || c.MaxMessage != 2<<20 || c.ReplayBytes != 4096 || !c.VisitorApprovals {
		t.Errorf("got %q %v %v %d %d %v", s.addr, c.RateMessages, c.RateSessions, c.MaxMessage, c.ReplayBytes, c.VisitorApprovals)
	}
	if p := c.TrustedProxies; p.Header != "Fly-Client-IP" || len(p.Prefixes) != 2 || p.Prefixes[1].String() != "fd00::1/128" {
		t.Errorf("trusted proxies: got %+v", p)
	}
	if want := []string{"One?", "Two, three?"}; !reflect.DeepEqual(c.Look.Starters, want) {
		t.Errorf("starters: got %q, want %q", c.Look.Starters, want)
	}
}
