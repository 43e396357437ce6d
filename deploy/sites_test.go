package deploy_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/anyframe-relay/relay/tools/testtools"

	"github.com/anyframe-relay/relay/anyframe/anyframetest"
	"github.com/anyframe-relay/relay/tools/ports"
)

// domains is a proxy in front of one relay, with a domain for each of its sites.
type domains struct{ addr string }

// startProxy runs a proxy until the test ends.
func startProxy(t *testing.T, addr string, cmd *exec.Cmd) *domains {
	t.Helper()
	cmd.Stdout, cmd.Stderr = t.Output(), t.Output()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		_ = cmd.Wait()
	})
	limit := time.Now().Add(patience)
	for {
		conn, err := (&net.Dialer{Timeout: time.Second}).DialContext(t.Context(), "tcp", addr)
		if err == nil {
			_ = conn.Close()
			return &domains{addr}
		}
		if time.Now().After(limit) {
			t.Fatal("the proxy does not listen:", err)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// sitesProxies are the proxies with their configurations, over plain HTTP: other
// tests cover certificates.
var sitesProxies = map[string]func(t *testing.T, relay, addr string) *exec.Cmd{
	"nginx": func(t *testing.T, relay, addr string) *exec.Cmd {
		dir, conf := t.TempDir(), read(t, "sites.nginx.conf")
		conf = strings.ReplaceAll(conf, "server 127.0.0.1:8080;", "server "+relay+";")
		conf = strings.ReplaceAll(conf, "listen 443 ssl http2;", "listen "+addr+";")
		conf = regexp.MustCompile(`(?m)^ *ssl_.*$`).ReplaceAllString(conf, "")
		var temp strings.Builder
		for _, kind := range []string{"client_body", "proxy", "fastcgi", "uwsgi", "scgi"} {
			fmt.Fprintf(&temp, "%s_temp_path %s;\n", kind, filepath.Join(dir, kind))
		}
		conf = strings.Replace(conf, "\nhttp {\n", "\nhttp {\naccess_log off;\n"+temp.String(), 1)
		path := filepath.Join(dir, "nginx.conf")
		if err := os.WriteFile(path, []byte(conf), 0o600); err != nil {
			t.Fatal(err)
		}
		process := "daemon off; pid " + filepath.Join(dir, "nginx.pid") + ";"
		if os.Geteuid() == 0 {
			process += " user root;"
		}
		return exec.Command("nginx", "-e", "stderr", "-p", dir, "-c", path, "-g", process)
	},
	"caddy": func(t *testing.T, relay, addr string) *exec.Cmd {
		dir := t.TempDir()
		path := filepath.Join(dir, "Caddyfile")
		conf := "{\n\tadmin off\n\tdefault_bind 127.0.0.1\n}\n" + read(t, "sites.Caddyfile")
		if err := os.WriteFile(path, []byte(conf), 0o600); err != nil {
			t.Fatal(err)
		}
		_, port, _ := net.SplitHostPort(addr)
		cmd := exec.Command("caddy", "run", "--config", path, "--adapter", "caddyfile")
		cmd.Env = append(os.Environ(), "RELAY_UPSTREAM="+relay, "SUPPORT_HOST=http://support.example.com:"+port, "SALES_HOST=http://sales.example.org:"+port,
			"HOME="+dir, "XDG_DATA_HOME="+dir, "XDG_CONFIG_HOME="+dir)
		return cmd
	},
}

// do makes a request to a domain like a browser on its page.
func (d *domains) do(t *testing.T, method, host, path, body string, cookies []*http.Cookie) (*http.Response, string) {
	t.Helper()
	_, port, _ := net.SplitHostPort(d.addr)
	origin := "http://" + net.JoinHostPort(host, port)
	client := &http.Client{
		Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "tcp", d.addr)
		}},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	req, err := http.NewRequestWithContext(t.Context(), method, origin+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Origin", origin)
	for _, c := range cookies {
		req.AddCookie(c)
	}
	res, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Fatal(err)
	}
	return res, string(text)
}

func TestSites_TwoDomains_OneRelay(t *testing.T) {
	t.Parallel()
	for name, prepare := range sitesProxies {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			testtools.Need(t, name)
			plane := anyframetest.Start(t, anyframetest.WithAgent(1, func(c *anyframetest.Chat) { c.Say("hello") }))
			file, err := filepath.Abs("sites.yaml")
			if err != nil {
				t.Fatal(err)
			}
			relay := launch(t, "ANYFRAME_API_KEY="+plane.Key(), fmt.Sprint("ANYFRAME_AGENT_ID=", plane.AgentID()), "ANYFRAME_BASE_URL="+plane.URL(),
				"RELAY_STORE=memory:", "RELAY_TRUSTED_PROXIES=127.0.0.1", "RELAY_CONFIG="+file)
			addr, err := ports.Free(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			d := startProxy(t, addr, prepare(t, relay.addr, addr))
			var jar []*http.Cookie
			for host, title := range map[string]string{"support.example.com": "Ask support", "sales.example.org": "Ask sales"} {
				for _, path := range []string{"/", "/widget.js"} {
					if res, text := d.do(t, "GET", host, path, "", nil); res.StatusCode != http.StatusOK || !strings.Contains(text, title) {
						t.Errorf("%s%s: got %d %.100s, want %s", host, path, res.StatusCode, text, title)
					}
				}
				res, text := d.do(t, "POST", host, "/v1/visitor", "{}", nil)
				if res.StatusCode != http.StatusOK || len(res.Cookies()) != 1 || res.Cookies()[0].Path != "/" {
					t.Fatalf("%s: got %d %s with %v, want a cookie for /", host, res.StatusCode, text, res.Cookies())
				}
				jar = append(jar, res.Cookies()[0])
				if res, text := d.do(t, "POST", host, "/v1/messages", `{"text":"hi"}`, res.Cookies()); res.StatusCode != http.StatusAccepted {
					t.Errorf("%s: a message: got %d %s, want 202", host, res.StatusCode, text)
				}
			}
			if jar[0].Name == jar[1].Name {
				t.Errorf("both sites have the cookie %s", jar[0].Name)
			}
			for host, not := range map[string]string{"support.example.com": "sales", "sales.example.org": "support"} {
				for _, c := range jar {
					if strings.Contains(c.Name, not) {
						if res, text := d.do(t, "GET", host, "/v1/session", "", []*http.Cookie{c}); res.StatusCode != http.StatusUnauthorized {
							t.Errorf("%s with the cookie of %s: got %d %s, want 401", host, not, res.StatusCode, text)
						}
					}
				}
			}
		})
	}
}
