// Package examples_test runs the examples against the demo, as a reader would.
package examples_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/anyframe-relay/relay/tools/testtools"
)

const (
	patience = 2 * time.Minute
	secret   = "an-example-secret-of-32-bytes-or-more"
	relayURL = "http://localhost:8080" // as written in the examples
)

// start runs a program until the test ends and returns its address: the first submatch
// of said in its output.
func start(t *testing.T, said string, env []string, name string, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), name, args...)
	cmd.Dir = ".." // the top of the repository
	cmd.Env = append(os.Environ(), env...)
	out, in := io.Pipe()
	cmd.Stdout, cmd.Stderr = in, in
	cmd.WaitDelay = patience
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	wg.Go(func() { _ = cmd.Wait(); _ = in.Close() })
	found, rest := make(chan string, 1), &bytes.Buffer{}
	wg.Go(func() {
		for lines := bufio.NewScanner(out); lines.Scan(); {
			if m := regexp.MustCompile(said).FindStringSubmatch(lines.Text()); m != nil && len(found) == 0 {
				found <- m[1]
			}
			rest.WriteString(lines.Text() + "\n")
		}
		close(found)
	})
	t.Cleanup(func() { _ = cmd.Process.Kill(); wg.Wait() })
	select {
	case at, ok := <-found:
		if !ok {
			t.Fatalf("%s %s ended:\n%s", name, strings.Join(args, " "), rest)
		}
		return at
	case <-time.After(patience):
		t.Fatalf("%s %s does not say %s", name, strings.Join(args, " "), said)
	}
	return ""
}

// program builds a program once. It is run directly, because killing go run would leave
// its child process behind.
func program(t *testing.T, folder string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "program")
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", path, folder).CombinedOutput(); err != nil {
		t.Fatalf("go build %s: %v\n%s", folder, err, out)
	}
	return path
}

func demo(t *testing.T, origins ...string) string {
	t.Helper()
	return demoOf(t, "", origins...)
}

// demoOf starts the demo, with a file of sites if there is one.
func demoOf(t *testing.T, sites string, origins ...string) string {
	t.Helper()
	env := []string{
		"RELAY_CONFIG=" + sites,
		"RELAY_ADDR=127.0.0.1:0", "RELAY_ADMIN_ADDR=", "RELAY_RATE_IP=off", "RELAY_RATE_SESSIONS=off",
		"RELAY_IDENTITY_KEY=" + secret, "RELAY_ALLOWED_ORIGINS=" + strings.Join(origins, ","),
	}
	return start(t, `Open (http://localhost:\d+)/ in`, env, program(t, "../cmd/relay"), "demo")
}

// serve serves an example on a port of localhost and replaces the relay's address in it
// with the running relay's.
func serve(t *testing.T, l net.Listener, files fs.FS, relay func() string) {
	t.Helper()
	web := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		name := strings.TrimPrefix(r.URL.Path, "/")
		if name == "" {
			name = "index.html"
		}
		content, err := fs.ReadFile(files, name)
		if err != nil {
			http.NotFound(w, r)
			return
		}
		content = bytes.ReplaceAll(content, []byte(relayURL), []byte(relay()))
		http.ServeContent(w, r, name, time.Time{}, bytes.NewReader(content))
	}))
	_ = web.Listener.Close()
	web.Listener = l
	web.Start()
	t.Cleanup(web.Close)
}

func listen(t *testing.T) (l net.Listener, origin string) {
	t.Helper()
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "localhost:0")
	if err != nil {
		t.Fatal(err)
	}
	_, port, _ := net.SplitHostPort(l.Addr().String())
	return l, "http://localhost:" + port
}

// built runs an example's own build, with a flag for the output folder. It returns that
// folder, with some of the example's files copied unchanged.
func built(t *testing.T, example, flag string, files ...string) string {
	t.Helper()
	folder := t.TempDir()
	for _, name := range files {
		content, err := os.ReadFile(filepath.Join(example, name))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(folder, name), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	build := exec.CommandContext(t.Context(), "npm", "run", "--silent", "build", "--", fmt.Sprintf(flag, folder))
	build.Dir = example
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%s: npm run build: %v\n%s", example, err, out)
	}
	return folder
}

func TestPages_Browser_Work(t *testing.T) {
	t.Parallel()
	testtools.Need(t, "node", testtools.Chromium(), "../web/node_modules/playwright-core", "react/node_modules/react", "vue/node_modules/vue")
	reactPage := built(t, "react", "--outfile=%s/main.js", "index.html", "page.css")
	vuePage := built(t, "vue", "--outDir=%s")
	var relay atomic.Value // its address, once it is known
	relay.Store("")
	at := func() string { address, _ := relay.Load().(string); return address }
	plain, plainURL := listen(t)
	react, reactURL := listen(t)
	vue, vueURL := listen(t)
	site, siteURL := listen(t)
	two, twoURL := listen(t)
	serve(t, plain, os.DirFS("plain"), at)
	serve(t, react, os.DirFS(reactPage), at)
	serve(t, vue, os.DirFS(vuePage), at)
	node := start(t, `^(http\S+)/$`, []string{"PORT=0", "RELAY_IDENTITY_KEY=" + secret}, "node", "examples/identity/node/server.mjs")
	serve(t, site, through{node}, at)
	serve(t, two, os.DirFS("sites"), at)
	file, err := os.ReadFile("sites/relay.yaml")
	if err != nil {
		t.Fatal(err)
	}
	sites := filepath.Join(t.TempDir(), "relay.yaml")
	if err := os.WriteFile(sites, bytes.ReplaceAll(file, []byte("http://localhost:8000"), []byte(twoURL)), 0o600); err != nil {
		t.Fatal(err)
	}
	relay.Store(demoOf(t, sites, plainURL, reactURL, vueURL, siteURL))

	cmd := exec.CommandContext(t.Context(), "node", "pages.mjs")
	cmd.Env = append(os.Environ(), "PLAIN="+plainURL, "REACT="+reactURL, "VUE="+vueURL, "IDENTITY="+siteURL, "SITES="+twoURL)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("got %v, want every page to work\n%s", err, out)
	}
}

// through sends a GET request to a site.
type through struct{ url string }

func (s through) Open(string) (fs.File, error) { return nil, fs.ErrInvalid }

func (s through) ReadFile(name string) ([]byte, error) {
	if name == "index.html" {
		name = ""
	}
	req, err := http.NewRequestWithContext(context.Background(), http.MethodGet, s.url+"/"+name, nil)
	if err != nil {
		return nil, err
	}
	res, err := testtools.Client.Do(req)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return nil, fs.ErrNotExist
	}
	return io.ReadAll(res.Body)
}

func TestIdentity_EachLanguage_SameVisitor(t *testing.T) {
	t.Parallel()
	testtools.Need(t, "node", "python3")
	relay := demo(t)
	for i, site := range [][]string{
		{"node", "examples/identity/node/server.mjs"},
		{"python3", "examples/identity/python/server.py"},
		{program(t, "./identity/go")},
	} {
		url := start(t, `^(http://localhost:\d+)/$`, []string{"PORT=0", "RELAY_IDENTITY_KEY=" + secret}, site[0], site[1:]...) // the allowed origin
		page, err := through{url}.ReadFile("index.html")
		if err != nil || !strings.Contains(string(page), "/chat-identity") {
			t.Errorf("%s: got %v and %.80q, want the page", site, err, page)
		}
		jwt, err := through{url}.ReadFile("chat-identity")
		if err != nil {
			t.Fatal(site, err)
		}
		status, out := post(t, relay+"/v1/visitor", "", `{"carrier":"bearer","identity":"`+string(jwt)+`"}`)
		var known struct {
			Token   string
			Session struct{ Epoch int }
		}
		if err := json.Unmarshal(out, &known); status != http.StatusOK || err != nil {
			t.Fatalf("%s: got %d %s, want 200", site, status, out)
		}
		if i == 0 {
			if status, out := post(t, relay+"/v1/messages", known.Token, `{"text":"hello"}`); status != http.StatusAccepted {
				t.Fatalf("POST /v1/messages: got %d %s, want 202", status, out)
			}
		} else if known.Session.Epoch != 1 {
			t.Errorf("%s: got %s, want the conversation that the first has begun", site, out)
		}
	}
}

func post(t *testing.T, url, token, body string) (int, []byte) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	res, err := testtools.Client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	out, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, out
}

// wordpress is the part of WordPress that the plugin uses.
const wordpress = `<?php
define('ABSPATH', '/'); define('RELAY_CHAT_URL', 'https://relay.example.com/');
function add_action($hook, $fn) { $GLOBALS['hooks'][$hook] = $fn; }
function add_filter($hook, $fn) { add_action($hook, $fn); }
function untrailingslashit($s) { return rtrim($s, '/'); }
function get_bloginfo($what) { return 'A "blog"'; }
function get_locale() { return 'de_DE'; }
function wp_enqueue_script($id, $src, $deps, $version, $args) {
	$attributes = ['id' => "$id-js", 'src' => $src, $args['strategy'] => true];
	foreach ($GLOBALS['hooks']['wp_script_attributes']($attributes) as $name => $value) {
		echo $value === true ? "$name\n" : "$name=$value\n";
	}
}
require $argv[1];
$hooks['wp_enqueue_scripts']();
`

func TestWordPress_Plugin_TagOnEveryPage(t *testing.T) {
	t.Parallel()
	testtools.Need(t, "php")
	path := filepath.Join(t.TempDir(), "wordpress.php")
	if err := os.WriteFile(path, []byte(wordpress), 0o600); err != nil {
		t.Fatal(err)
	}
	plugin, err := filepath.Abs("wordpress/relay-chat.php")
	if err != nil {
		t.Fatal(err)
	}
	out, err := exec.CommandContext(t.Context(), "php", "-d", "error_reporting=-1", "-d", "display_errors=1", path, plugin).CombinedOutput()
	got := strings.Split(strings.TrimSpace(string(out)), "\n")
	want := []string{"id=relay-chat-js", "src=https://relay.example.com/widget.js", "async", `data-title=A "blog"`, "data-locale=de"}
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("got %q, %v, want %q", got, err, want)
	}
}
