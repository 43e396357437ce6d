package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode"
)

// FuzzDotEnv parses files that contain a key, which no error may quote.
func FuzzDotEnv(f *testing.F) {
	const key = "afm_canaryZq7Kp2Vw9XtB4nRmD6sL"
	for _, file := range []string{
		"ANYFRAME_API_KEY=KEY\n", "ANYFRAME_API_KEY=\"KEY\n", "export ANYFRAME_API_KEY='KEY", "KEY", "KEY KEY\n", "\ufeffA=KEY\r\nB", "A=$KEY\nB=${KEY", "=KEY", "A=\\\"KEY\"x",
		"RELAY_IDENTITY_KEY=\"-----BEGIN PUBLIC KEY-----\nKEY\n-----END PUBLIC KEY-----\"\nANYFRAME_AGENT_ID=KEY", "ANYFRAME_BASE_URL=https://KEY@x\nRELAY_STORE=redis://:KEY@h",
		"RELAY_PUBLIC_URL=https://user:KEY@host\nRELAY_RATE_IP=KEY\nRELAY_ADDR=KEY\nRELAY_BASE_PATH=KEY\nPORT=KEY\nRELAY_IDENTITY_KEY=KEY",
	} {
		f.Add(file)
	}
	path := filepath.Join(f.TempDir(), ".env")
	f.Fuzz(func(t *testing.T, file string) {
		if err := os.WriteFile(path, []byte(strings.ReplaceAll(file, "KEY", key)), 0o600); err != nil {
			t.Fatal(err)
		}
		e, fileErr := readEnvironment(lookup(nil), path)
		s := defaults()
		readErr := e.read(s)
		for _, line := range problems(fileErr, readErr, s.relay.Validate()) {
			if strings.ContainsFunc(line, unicode.IsControl) {
				t.Errorf("%q: got %q, want a line that can be shown", file, line)
			}
			// The errors of these two may quote the value, which is a list of names.
			if strings.Contains(line, key) && !strings.HasPrefix(line, "RELAY_ALLOWED_ORIGINS") && !strings.HasPrefix(line, "RELAY_TRUSTED_PROXIES") && !strings.HasPrefix(line, "RELAY_ATTACHMENT_TYPES") {
				t.Errorf("%q: got %q, want nothing of the key", file, line)
			}
		}
	})
}

// FuzzSettings parses every setting from arbitrary text.
func FuzzSettings(f *testing.F) {
	for _, set := range table() {
		f.Add(set.name, set.fallback)
	}
	f.Add("RELAY_TRUSTED_PROXIES", "header:X,::ffff:1.2.3.4/96,10.0.0.0/33")
	f.Add("RELAY_MAX_MESSAGE", "9223372036854775807GiB")
	f.Add("RELAY_RATE_IP", "99999999999999999999/m")
	f.Add("RELAY_BASE_PATH", "/a/../b")
	f.Add("RELAY_ALLOWED_ORIGINS", "https://a\nb")
	f.Add("RELAY_IDENTITY_KEY", "-----BEGIN PUBLIC KEY-----\\n\\n-----END PUBLIC KEY-----")
	f.Fuzz(func(t *testing.T, name, value string) {
		s := defaults()
		s.relay.APIKey, s.relay.AgentID = "afm_x1234", 1
		err := environment{process: lookup(map[string]string{name: value})}.read(s)
		for _, line := range problems(err, s.relay.Validate()) {
			if !strings.HasPrefix(line, name) && name != "RELAY_IDENTITY_AUDIENCE" && name != "PORT" {
				t.Errorf("%s=%q: got %q, want it to name the setting", name, value, line)
			}
			if strings.ContainsFunc(line, unicode.IsControl) {
				t.Errorf("%s=%q: got %q, want a line that can be shown", name, value, line)
			}
		}
	})
}
