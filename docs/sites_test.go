package docs

import (
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/anyframe-relay/relay/tools/testtools"
)

// The file in sites.md is checked and served, and its commands are run, as a reader
// would.
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
	env := append(os.Environ(), "PATH="+filepath.Dir(path)+string(os.PathListSeparator)+os.Getenv("PATH"), "ANYFRAME_API_KEY=afm_x1234", "ANYFRAME_AGENT_ID=1",
		"SALES_KEY=afm_sales1234", "RELAY_ADDR=127.0.0.1:0", "RELAY_ADMIN_ADDR=", "RELAY_LOG_FORMAT=json", "RELAY_CONFIG=relay.yaml")
	addr := startDemo(t, path, dir, env)
	ran := 0
	for _, block := range regexp.MustCompile("(?s)```sh\n(.*?)```").FindAllStringSubmatch(page, -1) {
		if strings.Contains(block[1], "relay demo") {
			continue // already running
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
