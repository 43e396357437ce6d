package main

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"testing"
)

const operatorToken = "0123456789abcdef0123456789abcdef"

// operates runs a command against a relay's admin address.
func operates(t *testing.T, admin string, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	return execute(t, []string{"RELAY_ADMIN_TOKEN=ann:" + operatorToken}, append(args, "--admin", admin)...)
}

func TestOperate_EachDecision_MadeAndTakenBack(t *testing.T) {
	t.Parallel()
	p := launch(t, "demo", "RELAY_ADMIN_ADDR=127.0.0.1:0", "RELAY_ADMIN_TOKEN=bob:fedcba9876543210,ann:"+operatorToken)
	admin, token := p.admin(), mint(t, p.url)
	turn := func() string {
		_, out := call(t, "POST", p.url+"/v1/messages", token, `{"text":"hi"}`)
		detail, _ := out["detail"].(string)
		return detail
	}
	done := func(args ...string) string {
		t.Helper()
		code, out, errs := operates(t, admin, args...)
		if code != exitOK || errs != "" {
			t.Fatalf("relay %q: got exit %d, %q, want 0", args, code, errs)
		}
		return out
	}
	done("pause", "Closed until six.", "--stop")
	if got := turn(); got != "Closed until six." {
		t.Errorf("paused: got %q, want the operator's words", got)
	}
	done("unpause")
	if got := turn(); got != "" {
		t.Errorf("unpaused: got %q, want the turn taken", got)
	}
	done("banner", "Back soon.")
	done("banner", "")
	var block struct{ Subject, By string }
	if err := json.Unmarshal([]byte(done("block", "--for", "90m", "--json", "127.0.0.1")), &block); err != nil || block.Subject != "127.0.0.1" || block.By != "ann" {
		t.Errorf("block --json: got %+v, %v, want the block that ann made", block, err)
	}
	if code, _ := call(t, "GET", p.url+"/v1/session", token, ""); code != http.StatusForbidden {
		t.Errorf("blocked: got %d, want 403", code)
	}
	done("unblock", "127.0.0.1")
	if code, _ := call(t, "GET", p.url+"/v1/session", token, ""); code != http.StatusOK {
		t.Errorf("unblocked: got %d, want 200", code)
	}
	if out := done("unpause", "--json"); strings.TrimSpace(out) != "{}" {
		t.Errorf("unpause --json: got %q, want JSON", out)
	}
	if out := p.output(); strings.Contains(out, operatorToken) || strings.Count(out, `"msg":"audit","operator":"ann"`) != 7 {
		t.Errorf("the log has another number of audit lines than 7, or the token:\n%s", out)
	}
}

func TestOperate_Failures_ExitCodesTellThem(t *testing.T) {
	t.Parallel()
	p := launch(t, "demo", "RELAY_ADMIN_ADDR=127.0.0.1:0", "RELAY_ADMIN_TOKEN="+operatorToken)
	for name, tt := range map[string]struct {
		env  []string
		args []string
		want int
		says string
	}{
		"no token":                {nil, []string{"pause", "--admin", p.admin()}, exitError, "RELAY_ADMIN_TOKEN"},
		"another token":           {[]string{"RELAY_ADMIN_TOKEN=fedcba9876543210"}, []string{"pause", "--admin", p.admin()}, exitError, "RELAY_ADMIN_TOKEN"},
		"no relay":                {nil, []string{"pause", "--admin", "http://127.0.0.1:1"}, exitError, "no relay reached"},
		"another server":          {nil, []string{"pause", "--admin", p.url}, exitError, ""},
		"no such block":           {[]string{"RELAY_ADMIN_TOKEN=" + operatorToken}, []string{"unblock", "192.0.2.1", "--admin", p.admin()}, exitError, "not_found"},
		"refused":                 {[]string{"RELAY_ADMIN_TOKEN=" + operatorToken}, []string{"block", "no-address", "--admin", p.admin()}, exitError, "bad_request"},
		"an argument too many":    {nil, []string{"unpause", "x"}, exitUsage, "number of arguments"},
		"an argument too few":     {nil, []string{"block"}, exitUsage, "number of arguments"},
		"an unknown flag":         {nil, []string{"pause", "--hard"}, exitUsage, "-hard"},
		"no URL":                  {nil, []string{"pause", "--admin", "localhost:9091"}, exitUsage, "--admin"},
		"an address without port": {[]string{"RELAY_ADMIN_ADDR=xyz"}, []string{"pause"}, exitUsage, "RELAY_ADMIN_ADDR must be an address with a port"},
		"a port too large":        {[]string{"RELAY_ADMIN_ADDR=:99999"}, []string{"pause"}, exitUsage, "RELAY_ADMIN_ADDR must be an address with a port"},
		"the address turned off":  {[]string{"RELAY_ADMIN_ADDR="}, []string{"pause"}, exitUsage, "RELAY_ADMIN_ADDR is empty"},
	} {
		code, out, errs := execute(t, tt.env, tt.args...)
		if code != tt.want || !strings.Contains(errs, tt.says) || out != "" || strings.Contains(errs, "panic") {
			t.Errorf("%s: got exit %d, %q and %q, want %d and %q", name, code, out, errs, tt.want, tt.says)
		}
	}
}

func TestOperate_Help_SaysWhatEachTakes(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"pause", "block"} {
		code, out, _ := execute(t, nil, name, "--help")
		if code != exitOK || !strings.Contains(out, "relay "+name) || !strings.Contains(out, "-admin URL") || !strings.Contains(out, "-json") {
			t.Errorf("relay %s --help: got exit %d and %q, want its flags", name, code, out)
		}
	}
}

func TestServe_AdminOffLoopbackWithoutToken_DoesNotStart(t *testing.T) {
	t.Parallel()
	base := []string{"ANYFRAME_API_KEY=afm_x1234", "ANYFRAME_AGENT_ID=1", "RELAY_STORE=memory:"}
	for _, tt := range [][]string{
		{"RELAY_ADMIN_ADDR=:9091"},
		{"RELAY_ADMIN_ADDR=0.0.0.0:9091"},
		{"RELAY_ADMIN_ADDR=192.0.2.1:9091", "RELAY_ADMIN_TOKEN="},
		{"RELAY_ADMIN_ADDR=[::]:9091", "RELAY_ADMIN_TOKEN=tooshort"},
		{"RELAY_ADMIN_ADDR=127.0.0.1:0", "RELAY_ADMIN_TOKEN=ann:0123456789abcdef,ann"},
		{"RELAY_ADMIN_ADDR=127.0.0.1:0", "RELAY_ADMIN_TOKEN=0123456789abcdef,b:0123456789abcdef"},
	} {
		code, _, errs := execute(t, slices.Concat(base, tt), "serve")
		if code != exitUsage || !strings.Contains(errs, "RELAY_ADMIN_TOKEN") || strings.Contains(errs, "tooshort") || strings.Contains(errs, "0123456789abcdef") {
			t.Errorf("%q: got exit %d and %q, want 2 and what is missing, without the token", tt, code, errs)
		}
	}
}

func TestLicenses_OfWhatIsLinked_Printed(t *testing.T) {
	t.Parallel()
	code, out, _ := execute(t, nil, "licenses")
	if code != exitOK || !strings.Contains(out, "modernc.org/sqlite") || !strings.Contains(out, "Apache License") {
		t.Errorf("got exit %d and %d bytes, want the licenses", code, len(out))
	}
}
