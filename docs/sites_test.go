package docs

import (
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/anyframe-relay/relay/tools/testtools"
)

// post makes a request as the visitor with this token.
func post(t *testing.T, url, token, body string, want int) []byte {
	t.Helper()
	res := testtools.Request(t, http.MethodPost, url, token, body)
	answer, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode != want {
		t.Fatalf("POST %s: got %d %s, %v, want %d", url, res.StatusCode, answer, err, want)
	}
	return answer
}

// The test checks and serves the file in sites.md and runs its commands, like a reader.
func TestDocs_Sites_BlocksWork(t *testing.T) {
	t.Parallel()
	testtools.Need(t, "curl", "sh")
	path, err := program()
	if err != nil {
		t.Fatal(err)
	}
	page, dir := read(t, "sites.md"), t.TempDir()
	file := regexp.MustCompile("(?s)```yaml\n(sites:.*?)```").FindStringSubmatch(page)
	if file == nil {
		t.Fatal("sites.md shows no file")
	}
	if err := os.WriteFile(filepath.Join(dir, "relay.yaml"), []byte(file[1]), 0o600); err != nil {
		t.Fatal(err)
	}
	env := append(os.Environ(), "PATH="+filepath.Dir(path)+string(os.PathListSeparator)+os.Getenv("PATH"), "ANYFRAME_API_KEY=", "ANYFRAME_AGENT_ID=",
		"RELAY_ADDR=127.0.0.1:0", "RELAY_ADMIN_ADDR=", "RELAY_LOG_FORMAT=json", "RELAY_CONFIG=relay.yaml")
	addr := startDemo(t, path, dir, append(env, "SALES_KEY=afm_sales1234"))
	for _, site := range []string{"support", "sales"} {
		api := "http://" + addr + "/s/" + site + "/v1/"
		var visitor struct{ Token string }
		if err := json.Unmarshal(post(t, api+"visitor", "", `{"carrier":"bearer"}`, http.StatusOK), &visitor); err != nil {
			t.Fatal(err)
		}
		post(t, api+"messages", visitor.Token, `{"text":"hello"}`, http.StatusAccepted)
	}
	ran := 0
	for _, block := range regexp.MustCompile("(?s)```sh\n(.*?)```").FindAllStringSubmatch(page, -1) {
		if strings.Contains(block[1], "relay demo") {
			continue // it is already running
		}
		script := strings.ReplaceAll(block[1], "http://localhost:8080", (&url.URL{Scheme: "http", Host: addr}).String())
		cmd := exec.CommandContext(t.Context(), "sh", "-euc", script)
		cmd.Dir, cmd.Env = dir, env
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Errorf("%s\n%v: %s", script, err, out)
		}
		ran++
		if strings.Contains(script, "curl") && (!strings.Contains(string(out), "Ask support") || !strings.Contains(string(out), `"token"`)) {
			t.Errorf("%s\nprints %s, want the site's title and a token", script, out)
		}
	}
	if ran < 2 {
		t.Errorf("got %d blocks, want all", ran)
	}
}
