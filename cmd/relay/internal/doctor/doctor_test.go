package doctor_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"unicode"

	"github.com/anyframe-relay/relay/anyframe/anyframetest"
	"github.com/anyframe-relay/relay/cmd/relay/internal/doctor"
	"github.com/anyframe-relay/relay/relay"
)

// hostile, escaped for JSON, moves a terminal's cursor and reverses text.
const hostile = `\u001b[2J\u0007\u009b31m\u202e`

func TestPrint_ControlCharactersFromTheNetwork(t *testing.T) {
	t.Parallel()
	plane := anyframetest.Start(t)
	plane.Inject(anyframetest.Fault{Kind: anyframetest.Respond, Status: http.StatusUnauthorized, Body: `{"detail":"AnyFrame` + hostile + `"}`})
	public := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/healthz":
			fmt.Fprint(w, "ok\n")
		case "/readyz":
			w.WriteHeader(http.StatusServiceUnavailable)
			fmt.Fprint(w, `{"reasons":["reason`+hostile+`"]}`)
		default:
			w.WriteHeader(http.StatusInternalServerError)
			fmt.Fprint(w, `{"code":"code`+hostile+`"}`)
		}
	}))
	t.Cleanup(public.Close)
	c := relay.DefaultConfig()
	c.APIKey, c.AgentID, c.BaseURL = relay.Secret(plane.Key()), plane.AgentID(), plane.URL()
	c.Store, c.PublicURL = "memory:", public.URL
	report := doctor.Examine(t.Context(), doctor.Deployment{Config: c, Strangers: []string{"RELAY_\x1b[2J"}})
	for _, asJSON := range []bool{false, true} {
		var out strings.Builder
		if err := report.Print(&out, asJSON); err != nil {
			t.Fatal(err)
		}
		for _, source := range []string{"AnyFrame", "reason", "code", "RELAY_"} {
			if !strings.Contains(strings.ReplaceAll(out.String(), `\\`, `\`), source+`\x1b[2J`) {
				t.Errorf("JSON %v, %s: got %s, want its text with the characters escaped", asJSON, source, out.String())
			}
		}
		for _, r := range out.String() {
			if r != '\n' && !unicode.IsPrint(r) {
				t.Errorf("JSON %v: got %q in %q", asJSON, r, out.String())
			}
		}
	}
}

func TestExamine_ExposedFiles(t *testing.T) {
	t.Parallel()
	c := relay.DefaultConfig()
	c.Store = "memory:"
	for _, test := range []struct {
		exposed []string
		result  string
	}{{nil, doctor.ResultOK}, {[]string{".env", "relay.db"}, doctor.ResultFinding}} {
		var got []doctor.Finding
		for _, f := range doctor.Examine(t.Context(), doctor.Deployment{Config: c, Exposed: test.exposed}).Checks {
			if f.Check == "files" {
				got = append(got, f)
			}
		}
		if len(got) != max(1, len(test.exposed)) || got[0].Result != test.result {
			t.Fatalf("%q: got %+v, want a result %s for each file", test.exposed, got, test.result)
		}
		for i, path := range test.exposed {
			if !strings.Contains(got[i].Says, path) || got[i].Do != "chmod 600 "+path {
				t.Errorf("got %+v, want %s and the command for it", got[i], path)
			}
		}
	}
}

// The command is meant to be copied into a shell.
func TestRestrict(t *testing.T) {
	t.Parallel()
	if runtime.GOOS == "windows" {
		t.Skip("files have no mode")
	}
	for _, name := range []string{"relay.db", "my relay.db", "-rf", "it's", "$(touch x)", "a;b", "中"} {
		dir := t.TempDir()
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, nil, 0o644); err != nil {
			t.Fatal(err)
		}
		for _, form := range []string{name, path} {
			if err := os.Chmod(path, 0o644); err != nil {
				t.Fatal(err)
			}
			cmd := exec.CommandContext(t.Context(), "sh", "-c", doctor.Restrict(form))
			cmd.Dir = dir
			out, err := cmd.CombinedOutput()
			info, statErr := os.Stat(path)
			if err != nil || statErr != nil || info.Mode().Perm() != 0o600 {
				t.Errorf("%s: got %v, %v, %s, want mode 0600", doctor.Restrict(form), err, statErr, out)
			}
		}
		if entries, err := os.ReadDir(dir); err != nil || len(entries) != 1 {
			t.Errorf("%q: got %d files, want the command to do nothing else", name, len(entries))
		}
	}
}

func TestExamine_Webhook_GetsATestEvent(t *testing.T) {
	t.Parallel()
	for status, want := range map[int]string{http.StatusNoContent: doctor.ResultOK, http.StatusForbidden: doctor.ResultFinding, http.StatusGone: doctor.ResultFinding} {
		signed := false
		receiver := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			signed = r.Header.Get("Webhook-Signature") != ""
			w.WriteHeader(status)
		}))
		c := relay.DefaultConfig()
		c.Store, c.Webhook.URL, c.Webhook.Secret = "memory:", relay.Secret(receiver.URL), "0123456789abcdef01234567"
		var got []doctor.Finding
		for _, f := range doctor.Examine(t.Context(), doctor.Deployment{Config: c}).Checks {
			if f.Check == "webhook" {
				got = append(got, f)
			}
		}
		receiver.Close()
		if len(got) != 1 || got[0].Result != want || !signed || strings.Contains(got[0].Says+got[0].Do, receiver.URL) {
			t.Errorf("%d: got %+v, signed %v, want %s without the URL", status, got, signed, want)
		}
	}
}

func TestExamine_NoticeOff_NotedAndNoFinding(t *testing.T) {
	t.Parallel()
	for off, want := range map[bool]int{true: 1, false: 0} {
		c := relay.DefaultConfig()
		c.NoNotice, c.Store, c.BaseURL = off, "memory:", "http://127.0.0.1:1"
		n := 0
		for _, f := range doctor.Examine(t.Context(), doctor.Deployment{Config: c}).Checks {
			if f.Check == "notice" {
				n++
				if f.Result != doctor.ResultNote || !strings.Contains(f.Says, "Article 50") {
					t.Errorf("got %+v, want a note about the law", f)
				}
			}
		}
		if n != want {
			t.Errorf("notice off %v: got %d notes, want %d", off, n, want)
		}
	}
}
