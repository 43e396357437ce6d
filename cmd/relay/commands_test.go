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
		{[]string{"serve", "--port=1"}, exitUsage, "", "takes no arguments"},
	} {
		code, stdout, stderr := runHere(t, nil, tc.args...)
		if code != tc.code || !strings.Contains(stdout, tc.stdout) || !strings.Contains(stderr, tc.stderr) {
			t.Errorf("relay %v: got %d, %q, %q, want %d, %q, %q", tc.args, code, stdout, stderr, tc.code, tc.stdout, tc.stderr)
		}
	}
}
