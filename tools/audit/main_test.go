package main

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
)

func TestAudit_DatabaseUnavailable_OnlyThatIgnored(t *testing.T) {
	failed := errors.New("exit status 1")
	for name, tt := range map[string]struct {
		verify, vulns string
		verifyErr     error
		vulnsErr      error
		wantErr, says string
	}{
		"all well":             {"", "No vulnerabilities found.", nil, nil, "", "No vulnerabilities found."},
		"a changed module":     {"example.com/x: dir has been modified", "", failed, nil, "dir has been modified", ""},
		"a vulnerability":      {"", "Vulnerability #1: GO-2026-0001", nil, errors.New("exit status 3"), "GO-2026-0001", ""},
		"no database":          {"", "govulncheck: fetching vulnerabilities: no such host", nil, failed, "", "not checked"},
		"code that won't load": {"", "govulncheck: loading packages", nil, failed, "loading packages", ""},
	} {
		var out bytes.Buffer
		var verified []string
		err := audit(t.Context(), &out, func(_ context.Context, args ...string) (string, error) {
			if slices.Contains(args, "verify") {
				verified = append(verified, args[1])
				return tt.verify, tt.verifyErr
			}
			return tt.vulns, tt.vulnsErr
		})
		if (err == nil) != (tt.wantErr == "") || err != nil && !strings.Contains(err.Error(), tt.wantErr) {
			t.Errorf("%s: got error %v, want one that says %q", name, err, tt.wantErr)
		}
		if !strings.Contains(out.String(), tt.says) {
			t.Errorf("%s: got %q, want %q in it", name, out.String(), tt.says)
		}
		if err == nil && !slices.Equal(verified, []string{".", "bench", "deploy/kubernetes"}) {
			t.Errorf("%s: verified %q, want all modules", name, verified)
		}
	}
}

func TestAudit_Stopped_Fails(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	err := audit(ctx, new(bytes.Buffer), func(_ context.Context, args ...string) (string, error) {
		if args[0] == "tool" {
			cancel()
			return "fetching vulnerabilities", errors.New("killed")
		}
		return "", nil
	})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("got error %v, want %v", err, context.Canceled)
	}
}
