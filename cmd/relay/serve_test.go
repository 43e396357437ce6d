package main

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/anyframe-relay/relay/anyframe/anyframetest"
)

func TestServe_KilledMidAnswer_VisitorResumes(t *testing.T) {
	gate := make(chan struct{})
	plane := anyframetest.Start(t, anyframetest.WithAgent(1, slowAgent(gate)))
	env := append(upstream(plane), "RELAY_STORE=sqlite:"+filepath.Join(t.TempDir(), "relay.db"), "RELAY_REPLAY_EVENTS=50")
	relay := launch(t, "serve", env...)
	token := mint(t, relay.url)
	if code, out := call(t, "POST", relay.url+"/v1/messages", token, `{"text":"tell me"}`); code != 202 {
		t.Fatalf("POST /v1/messages: got %d %v, want 202", code, out)
	}
	var pg page
	pg.listen(t, relay.url, token, func() bool { return len(pg.got) >= longAnswer/4 })
	relay.kill()

	relay = launch(t, "serve", env...)
	close(gate)
	pg.listen(t, relay.url, token, func() bool { return pg.has("turn_end") })

	id := plane.Sessions()[0].ID
	log := plane.Log(id)
	if len(pg.got) != len(log) {
		t.Fatalf("events: got %d, want the %d of AnyFrame's log, each once", len(pg.got), len(log))
	}
	for i, row := range log {
		if want := fmt.Sprintf("1-%d ", row.Seq); !strings.HasPrefix(pg.got[i], want) {
			t.Fatalf("event %d: got %q, want id %s", i, pg.got[i], want)
		}
	}
	if pg.resets != 0 || len(plane.Sessions()) != 1 || len(plane.Messages(id)) != 1 {
		t.Errorf("got %d resets, %d sessions, %d messages, want 0, 1, 1", pg.resets, len(plane.Sessions()), len(plane.Messages(id)))
	}
}

func TestServe_WrongSettings_AllListed(t *testing.T) {
	code, _, stderr := runHere(t, map[string]string{"RELAY_RATE_IP": "lots", "RELAY_BOOT": "later"}, "serve")
	if code != exitUsage {
		t.Errorf("exit code: got %d, want 2", code)
	}
	for _, name := range []string{"ANYFRAME_API_KEY", "ANYFRAME_AGENT_ID", "RELAY_RATE_IP", "RELAY_BOOT"} {
		if !strings.Contains(stderr, "  "+name+" ") {
			t.Errorf("%s is not listed in\n%s", name, stderr)
		}
	}
}

func TestServe_WrongAddressOrStore_NamedWithItsCode(t *testing.T) {
	for setting, want := range map[string]int{
		"RELAY_ADDR=:99999": exitUsage, "RELAY_ADDR=:-1": exitUsage, "RELAY_ADDR=localhost": exitUsage, "RELAY_ADDR=localhost:": exitUsage,
		"RELAY_ADMIN_ADDR=127.0.0.1:65536": exitUsage, "RELAY_STORE=sqlite:/no/such/folder/relay.db": exitError,
	} {
		name, value, _ := strings.Cut(setting, "=")
		vars := map[string]string{"ANYFRAME_API_KEY": "afm_x1234", "ANYFRAME_AGENT_ID": "1", "RELAY_STORE": "memory:", "RELAY_ADDR": "127.0.0.1:0", "RELAY_ADMIN_ADDR": ""}
		vars[name] = value
		if code, _, stderr := runHere(t, vars, "serve"); code != want || !strings.Contains(stderr, name) {
			t.Errorf("%s: got exit %d and %q, want %d and the setting", setting, code, stderr, want)
		}
	}
}

func TestServe_ShortKey_RefusedAsSetting(t *testing.T) {
	code, _, stderr := runHere(t, map[string]string{"ANYFRAME_API_KEY": "x", "ANYFRAME_AGENT_ID": "1", "RELAY_STORE": "memory:"}, "serve")
	if code != exitUsage || !strings.Contains(stderr, "  ANYFRAME_API_KEY must have at least 8 characters") {
		t.Errorf("got exit %d and %q, want 2 and the setting", code, stderr)
	}
}

func TestServe_InvalidStore_NamedWithoutPassword(t *testing.T) {
	for url, want := range map[string]string{
		"valkey://u:afm_secret@host": "redis://", "redis://u:afm_secret@host?master_name=": "master_name=",
		"redis://u:afm_secret@host/1?addr=host:1": "cluster", "redis:u:afm_secret@host": "URL",
	} {
		vars := map[string]string{"RELAY_STORE": url, "ANYFRAME_API_KEY": "afm_x1234", "ANYFRAME_AGENT_ID": "1"}
		code, _, stderr := runHere(t, vars, "serve")
		if code != exitUsage || !strings.Contains(stderr, "RELAY_STORE is not a valid store URL: ") || !strings.Contains(stderr, want) || strings.Contains(stderr, "afm_secret") {
			t.Errorf("%s: got exit %d and %q, want 2, the setting and %q", url, code, stderr, want)
		}
	}
}

func TestServe_PortTaken_OneLineError(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // a test's own port
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	for _, setting := range []string{"RELAY_ADDR", "RELAY_ADMIN_ADDR"} {
		vars := map[string]string{"RELAY_ADDR": "127.0.0.1:0", "RELAY_ADMIN_ADDR": "", "RELAY_STORE": "memory:", "ANYFRAME_API_KEY": "afm_x1234", "ANYFRAME_AGENT_ID": "1"}
		vars[setting] = l.Addr().String()
		code, _, stderr := runHere(t, vars, "serve")
		want := "relay: listen on " + l.Addr().String() + ": address already in use; set " + setting + " to another address\n"
		if code != exitError || stderr != want {
			t.Errorf("got exit %d and %q, want 1 and %q", code, stderr, want)
		}
	}
}

func TestServe_CorruptStore_OneLineErrorAndUnchanged(t *testing.T) {
	path := filepath.Join(t.TempDir(), "relay.db")
	garbage := []byte(strings.Repeat("this is no database. ", 400))
	if err := os.WriteFile(path, garbage, 0o600); err != nil {
		t.Fatal(err)
	}
	vars := map[string]string{"RELAY_ADDR": "127.0.0.1:0", "RELAY_ADMIN_ADDR": "", "RELAY_STORE": "sqlite:" + path, "ANYFRAME_API_KEY": "afm_x1234", "ANYFRAME_AGENT_ID": "1"}
	code, _, stderr := runHere(t, vars, "serve")
	if code != exitError || strings.Count(stderr, "\n") != 1 || !strings.Contains(stderr, path) {
		t.Errorf("got exit %d and %q, want 1 and one line that names the file", code, stderr)
	}
	if now, err := os.ReadFile(path); err != nil || !bytes.Equal(now, garbage) {
		t.Error("the file was changed")
	}
}
