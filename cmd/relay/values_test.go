package main

import (
	"cmp"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/anyframe-relay/relay/anyframe/anyframetest"
)

// samples are values for settings without a default.
var samples = map[string]string{
	"RELAY_CONFIG":     "relay.yaml",
	"ANYFRAME_API_KEY": "afm_sample", "ANYFRAME_AGENT_ID": "7", "ANYFRAME_LOG_LEVEL": "debug", "PORT": "8081", "RELAY_BASE_PATH": "/chat",
	"RELAY_PUBLIC_URL": "https://chat.example.com", "RELAY_ALLOWED_ORIGINS": "https://www.example.com", "RELAY_TRUSTED_PROXIES": "10.0.0.0/8",
	"RELAY_IDENTITY_KEY": strings.Repeat("sample", 6), "RELAY_IDENTITY_AUDIENCE": "relay", "RELAY_LOG_FORMAT": "json",
	"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4318", "RELAY_TITLE": "Help", "RELAY_GREETING": "Hello", "RELAY_STARTERS": "Hi",
	"RELAY_ACCENT": "#0b6bcb", "RELAY_WEBHOOK_URL": "https://hooks.example.com/relay", "RELAY_WEBHOOK_SECRET": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "RELAY_WEBHOOK_EVENTS": "turn.failed", "RELAY_ADMIN_HOSTS": "relay.internal", "RELAY_ADMIN_TOKEN": "ann:0123456789abcdef", "RELAY_LOCALE": "en",
	"RELAY_PRIVACY_URL": "https://www.example.com/privacy", "RELAY_CONSENT": "May we?",
}

func TestSettings_MarksAroundAValue(t *testing.T) {
	t.Parallel()
	marks := map[string][2]string{
		"double quotes": {`"`, `"`}, "single quotes": {"'", "'"}, "typographic quotes": {"“", "”"}, "backquotes": {"`", "`"},
		"BOM before": {bom, ""}, "BOM behind": {"", bom}, "BOM and quotes": {bom + `"`, `"`}, "quotes and BOM": {`"` + bom, `"`},
		"zero width": {"\u200b", ""}, "control": {"", "\x00"}, "not UTF-8": {"\xff", ""},
	}
	for _, set := range table() {
		value := cmp.Or(samples[set.name], set.fallback)
		if value == "" {
			t.Errorf("%s: there is no sample", set.name)
			continue
		}
		plain := defaults()
		if err := from(t, map[string]string{set.name: value}, "").read(plain); err != nil {
			t.Errorf("%s=%s: got %v, want it taken", set.name, value, err)
		}
		for form, mark := range marks {
			marked := mark[0] + value + mark[1]
			s := defaults()
			err := from(t, map[string]string{set.name: marked}, "").read(s)
			if slices.Contains(words, set.name) && !strings.HasPrefix(form, "BOM") {
				if err != nil {
					t.Errorf("%s, %s: got %v, want a text that people read left as it is", set.name, form, err)
				}
				continue
			}
			if err == nil || !strings.HasPrefix(err.Error(), set.name+" ") {
				t.Errorf("%s, %s: got %v, want it refused", set.name, form, err)
				continue
			}
			if strings.HasPrefix(value, "sample") && strings.Contains(err.Error(), value) || strings.Contains(err.Error(), samples["ANYFRAME_API_KEY"]) {
				t.Errorf("%s, %s: got %v, want the secret not in it", set.name, form, err)
			}
		}
		// Some programs' --env-file keeps a BOM in the name of the first variable.
		if err := from(t, map[string]string{bom + set.name: value}, "").read(defaults()); err == nil || !strings.HasPrefix(err.Error(), set.name+" ") {
			t.Errorf("%s: got %v for a name with a BOM before it, want it refused", set.name, err)
		}
	}
	for key, want := range map[string]bool{"afm_x1234": true, `"afm_x`: false, "afm_x'": false, "afm_ x": false, "afm_x\ny": false, "afm_ü": false} {
		for _, name := range []string{"ANYFRAME_API_KEY", "ANYFRAME_API_TOKEN"} {
			if err := from(t, map[string]string{name: key}, "").read(defaults()); (err == nil) != want {
				t.Errorf("%s=%q: got %v, want it taken: %v", name, key, err, want)
			} else if err != nil && !strings.Contains(err.Error(), name) {
				t.Errorf("%s=%q: got %v, want the name in it", name, key, err)
			}
		}
	}
}

func TestSettings_MarksInTheFile(t *testing.T) {
	t.Parallel()
	for content, want := range map[string]string{
		"ANYFRAME_API_KEY='\"afm_x\"'\n":                           "ANYFRAME_API_KEY is enclosed in quotation marks",
		"ANYFRAME_API_KEY=" + bom + "afm_x\n":                      "ANYFRAME_API_KEY begins or ends with an invisible byte order mark",
		"ANYFRAME_AGENT_ID=1\r\n" + bom + "ANYFRAME_API_KEY=x\r\n": ".env has an invisible byte order mark (U+FEFF) at the start of line 2",
		"\xff\xfeA\x00=\x00":                                       ".env is UTF-16",
		"\xfe\xff\x00A\x00=":                                       ".env is UTF-16",
		bom + "ANYFRAME_API_KEY=\"afm_x1234\"\n":                   "",
	} {
		path := filepath.Join(t.TempDir(), ".env")
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		e, err := readEnvironment(lookup(nil), path)
		s := defaults()
		got := strings.Join(problems(err, e.read(s)), "\n")
		if !strings.HasPrefix(got, want) || (got == "") != (want == "") {
			t.Errorf("%q: got %q, want %q", content, got, want)
		}
		if want == "" && string(s.relay.APIKey) != "afm_x1234" {
			t.Errorf("%q: got another key, want afm_x1234", content)
		}
	}
}

// A value of the file is taken literally, or refused by its name.
func TestSettings_DollarInTheFile_RefusedOrLiteral(t *testing.T) {
	t.Parallel()
	const refused = "<refused>"
	for line, want := range map[string]string{
		`a$KD82mQzW`:              refused,
		`a$9`:                     refused,
		`a$_x`:                    refused,
		`a${KD}`:                  refused,
		`a$(KD)`:                  refused,
		`"a$KD"`:                  refused,
		`"a${RELAY_ACCENT}"`:      refused,
		"\"two\nlines$KD\"":       refused,
		`'a$KD82mQzW'`:            `a$KD82mQzW`,
		`'${KD}'`:                 `${KD}`,
		`a\$KD`:                   `a$KD`,
		`"a\$KD"`:                 `a$KD`,
		`Under $ 50`:              `Under $ 50`,
		`a$b$`:                    `a$b$`,
		`${}`:                     `${}`,
		`"a$b"`:                   `a$b`,
		`plain # $COMMENT`:        `plain`,
		`"Team # 1" # a $COMMENT`: `Team # 1`,
	} {
		path := filepath.Join(t.TempDir(), ".env")
		content := "# a $COMMENT\nRELAY_ACCENT=#123456\nRELAY_TITLE=" + line + "\nRELAY_LOCALE=en\n"
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		e, err := readEnvironment(lookup(nil), path)
		at := "RELAY_TITLE in line 3 of .env"
		if strings.Contains(line, "\n") {
			at = "RELAY_TITLE in line 4 of .env"
		}
		switch got, _, _ := e.get("RELAY_TITLE"); {
		case want != refused && (err != nil || got != want):
			t.Errorf("%s: got %q and %v, want %q", line, got, err, want)
		case want == refused && (err == nil || !strings.HasPrefix(err.Error(), at) || strings.Contains(err.Error(), "KD")):
			t.Errorf("%s: got %v, want it refused by name and line", line, err)
		}
	}
	path := filepath.Join(t.TempDir(), ".env")
	if err := os.WriteFile(path, []byte("ANYFRAME_API_KEY=afm_Xy9$KD82mQzW\nRELAY_IDENTITY_KEY=ab$CD\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := readEnvironment(lookup(nil), path); err == nil || len(problems(err)) != 2 {
		t.Errorf("two values: got %v, want both", err)
	}
}

func TestServe_QuotedSettings(t *testing.T) {
	t.Parallel()
	plane := anyframetest.Start(t)
	env := []string{
		`ANYFRAME_API_KEY="` + plane.Key() + `"`, "ANYFRAME_AGENT_ID='1'", `ANYFRAME_BASE_URL="` + plane.URL() + `"`,
		`RELAY_STORE="redis://:password@127.0.0.1"`, "RELAY_IDENTITY_KEY=" + bom + samples["RELAY_IDENTITY_KEY"], `RELAY_PUBLIC_URL="https://a.example"`,
	}
	code, stdout, stderr := execute(t, env, "serve")
	if code != exitUsage || stdout != "" {
		t.Errorf("got exit %d, %q, want 2", code, stdout)
	}
	for _, line := range env {
		name, value, _ := strings.Cut(line, "=")
		if n := strings.Count(stderr, "\n  "+name+" "); n != 1 {
			t.Errorf("%s: got it told %d times in\n%s, want once, all at the same time", name, n, stderr)
		}
		if inner := strings.Trim(value, bom+`"'`); len(inner) > 8 && strings.Contains(stderr, inner) {
			t.Errorf("%s: its value is in\n%s", name, stderr)
		}
	}
}
