package main

import (
	"strings"
	"testing"
)

func TestCommands(t *testing.T) {
	for _, tc := range []struct {
		args           []string
		code           int
		stdout, stderr string
	}{
		{[]string{"version"}, exitOK, "relay ", ""},
		{[]string{"help"}, exitOK, "RELAY_STORE", ""},
		{[]string{"--help"}, exitOK, "relay demo", ""},
		{[]string{"sevre"}, exitUsage, "", `unknown command "sevre"`},
		{[]string{"sevre", "-h"}, exitUsage, "", `unknown command "sevre"`},
		{[]string{"blocks", "--json"}, exitUsage, "", `unknown command "blocks"`},
		{[]string{"serve", "--help"}, exitOK, "relay demo", ""},
		{[]string{"demo", "-h"}, exitOK, "relay demo", ""},
		{[]string{"doctor", "--help"}, exitOK, "relay doctor", ""},
		{[]string{"doctor", "--json", "--help"}, exitOK, "relay doctor", ""},
		{[]string{"health", "--help"}, exitOK, "relay health", ""},
		{[]string{"version", "--help"}, exitOK, "relay version", ""},
		{[]string{"licenses", "--help"}, exitOK, "relay licenses", ""},
		{[]string{"config", "--help"}, exitOK, "relay config check [FILE]", ""},
		{[]string{"config", "check", "-h"}, exitOK, "relay config check [FILE]", ""},
		{[]string{"config", "check", "gone.yaml"}, exitUsage, "", "gone.yaml: cannot read the sites file: no such file"},
		{[]string{"serve", "--port=1"}, exitUsage, "", "takes no arguments"},
	} {
		code, stdout, stderr := runHere(t, nil, tc.args...)
		if stderr == "" != (code == exitOK) || strings.Contains(stderr, "RELAY_CONFIG") {
			t.Errorf("relay %v: got %d and %q, want an error only if it fails, and only about what was given", tc.args, code, stderr)
		}
		if code != tc.code || !strings.Contains(stdout, tc.stdout) || !strings.Contains(stderr, tc.stderr) {
			t.Errorf("relay %v: got %d, %q, %q, want %d, %q, %q", tc.args, code, stdout, stderr, tc.code, tc.stdout, tc.stderr)
		}
	}
}
