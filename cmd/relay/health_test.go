package main

import (
	"net/http"
	"strings"
	"testing"

	"github.com/anyframe-relay/relay/cmd/relay/internal/probe"

	"github.com/anyframe-relay/relay/anyframe/anyframetest"
)

func TestHealth_Command_AsksLocalRelay(t *testing.T) {
	t.Parallel()
	plane := anyframetest.Start(t)
	relay := launch(t, "serve", append(upstream(plane), "RELAY_STORE=memory:", "RELAY_BASE_PATH=/chat")...)
	addr := strings.TrimPrefix(relay.url, "http://")
	_, port, _ := strings.Cut(addr, ":")
	for _, test := range []struct {
		env    []string
		code   int
		output string
	}{
		{[]string{"RELAY_ADDR=" + addr, "RELAY_BASE_PATH=/chat"}, exitOK, "alive and ready"},
		{[]string{"PORT=" + port, "RELAY_BASE_PATH=/chat"}, exitOK, "alive and ready"},
		{[]string{"RELAY_ADDR=0.0.0.0:" + port, "RELAY_BASE_PATH=/chat", "RELAY_RATE_IP=bogus"}, exitOK, "alive and ready"},
		{[]string{"RELAY_ADDR=" + addr}, exitError, "not alive"},
		{[]string{"RELAY_ADDR=127.0.0.1:1"}, exitError, "not alive"},
		{[]string{"RELAY_ADDR=127.0.0.1:0"}, exitUsage, "has no fixed port"},
	} {
		code, stdout, stderr := execute(t, test.env, "health")
		if code != test.code || !strings.Contains(stdout+stderr, test.output) {
			t.Errorf("%v: got exit %d, %q, %q, want %d and %q", test.env, code, stdout, stderr, test.code, test.output)
		}
	}
}

func TestHealth_NotReady_ReasonShownAndExitZero(t *testing.T) {
	t.Parallel()
	plane := anyframetest.Start(t)
	relay := launch(t, "serve", append(upstream(plane), "RELAY_STORE=memory:", "ANYFRAME_API_KEY=afm_wrong")...)
	env := []string{"RELAY_ADDR=" + strings.TrimPrefix(relay.url, "http://")}
	until(t, "the relay notices that its key is rejected", func() bool {
		return len(probe.Unready(t.Context(), relay.url, patience)) > 0
	})
	if code, _ := call(t, "GET", relay.url+"/readyz", "", ""); code != http.StatusServiceUnavailable {
		t.Errorf("readyz: got %d, want 503", code)
	}
	code, stdout, stderr := execute(t, env, "health")
	if code != exitOK || stdout != "alive, not ready: AnyFrame rejects the API key\n" {
		t.Errorf("got exit %d, %q, %q, want 0 and why it is not ready", code, stdout, stderr)
	}
}
