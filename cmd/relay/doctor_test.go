package main

import (
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/anyframe-relay/relay/anyframe/anyframetest"
	"github.com/anyframe-relay/relay/cmd/relay/internal/doctor"
	"github.com/anyframe-relay/relay/cmd/relay/internal/probe"
	"github.com/anyframe-relay/relay/tools/testtools"
)

func readReport(t *testing.T, text string) doctor.Report {
	t.Helper()
	var r doctor.Report
	if err := json.Unmarshal([]byte(text), &r); err != nil {
		t.Fatalf("got %v for %q, want JSON", err, text)
	}
	return r
}

// of returns the first result of a check.
func of(r doctor.Report, check string) doctor.Finding {
	for _, f := range r.Checks {
		if f.Check == check {
			return f
		}
	}
	return doctor.Finding{}
}

func TestDoctor_SoundDeployment_NoFindings(t *testing.T) {
	t.Parallel()
	plane := anyframetest.Start(t)
	env := append(upstream(plane), "RELAY_STORE=sqlite:"+filepath.Join(t.TempDir(), "relay.db"))
	relay := launch(t, "serve", env...)
	env = append(env, "RELAY_PUBLIC_URL="+relay.url, "RELAY_TRUSTED_PROXIES=10.0.0.0/8")
	code, stdout, stderr := execute(t, env, "doctor", "--json")
	got := readReport(t, stdout)
	if code != exitOK || !got.OK || stderr != "" {
		t.Errorf("got exit %d, %q, want 0 and no finding: %s", code, stderr, stdout)
	}
	for _, check := range []string{"settings", "files", "key", "agent", "image", "store", "public URL", "events"} {
		if f := of(got, check); f.Result != doctor.ResultOK {
			t.Errorf("%s: got %+v, want ok", check, f)
		}
	}
	if n := plane.Count(anyframetest.OpCreate); n != 0 {
		t.Errorf("got %d sandboxes made, want none", n)
	}
	if code, stdout, _ = execute(t, env, "doctor"); code != exitOK || strings.Count(stdout, "ok ") != 8 || strings.Contains(stdout, "→") {
		t.Errorf("got exit %d and\n%swant 0, eight times ok and nothing to do", code, stdout)
	}
	if code, stdout, stderr = execute(t, env, "doctor", "--yaml"); code != exitUsage || stdout != "" || !strings.Contains(stderr, "takes no argument except --json") {
		t.Errorf("doctor --yaml: got exit %d, %q, %q, want 2 and why", code, stdout, stderr)
	}
}

func TestDoctor_Fault_FindingWithAdvice(t *testing.T) {
	t.Parallel()
	sound := anyframetest.Start(t, anyframetest.WithAgent(7, nil))
	bare := anyframetest.Start(t, anyframetest.WithoutImage())
	down := anyframetest.Start(t)
	down.Inject(anyframetest.Fault{Kind: anyframetest.Respond, Status: http.StatusServiceUnavailable})
	gone := httptest.NewServer(nil)
	gone.Close()
	for name, test := range map[string]struct {
		env                []string
		check, result      string
		says, do, untested string
	}{
		"no settings": {
			nil, "settings", doctor.ResultFinding, "ANYFRAME_API_KEY is not set", "relay help", "key",
		},
		"a wrong setting": {
			append(upstream(sound), "RELAY_RATE_IP=lots"), "settings", doctor.ResultFinding, "RELAY_RATE_IP must be", "fix it", "",
		},
		"a wrong key": {
			append(upstream(sound), "ANYFRAME_API_KEY=afm_wrong"), "key", doctor.ResultFinding, "rejects the key", "ANYFRAME_API_KEY", "agent",
		},
		"an agent that is not there": {
			append(upstream(sound), "ANYFRAME_AGENT_ID=99"), "agent", doctor.ResultFinding, "no agent 99", "7 (Scripted agent)", "image",
		},
		"an agent without an image": {
			upstream(bare), "image", doctor.ResultFinding, "never built", "build the agent", "",
		},
		"a key that cannot be one": {
			append(upstream(sound), "ANYFRAME_API_KEY=x"), "key", doctor.ResultFinding, "API key: is shorter", "ANYFRAME_API_KEY", "agent",
		},
		"a setting with that key": {
			append(upstream(sound), "ANYFRAME_API_KEY=x"), "settings", doctor.ResultFinding, "ANYFRAME_API_KEY must have at least 8", "fix it", "image",
		},
		"a base URL that cannot be one": {
			append(upstream(sound), "ANYFRAME_BASE_URL=http://example.com"), "key", doctor.ResultFinding, "base URL: must be https", "ANYFRAME_BASE_URL", "agent",
		},
		"AnyFrame is down": {
			upstream(down), "key", doctor.ResultFinding, "server error", "doctor again", "image",
		},
		"AnyFrame is not there": {
			append(upstream(sound), "ANYFRAME_BASE_URL="+gone.URL), "key", doctor.ResultFinding, "request to AnyFrame failed", "ANYFRAME_BASE_URL", "agent",
		},
		"a store that cannot be": {
			append(upstream(sound), "RELAY_STORE=sqlite:"+filepath.Join(t.TempDir(), "no", "relay.db")), "store", doctor.ResultFinding, "does not exist", "RELAY_STORE", "",
		},
		"a relay that does not run": {
			append(upstream(sound), "RELAY_PUBLIC_URL="+gone.URL), "public URL", doctor.ResultFinding, "cannot be reached", "the relay is running", "events",
		},
		"no public URL": {
			upstream(sound), "public URL", doctor.ResultUnchecked, "RELAY_PUBLIC_URL is not set", "", "events",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			code, stdout, _ := execute(t, test.env, "doctor", "--json")
			got := readReport(t, stdout)
			wantCode := exitError
			if test.result == doctor.ResultUnchecked {
				wantCode = exitOK
			}
			if code != wantCode || got.OK != (wantCode == exitOK) {
				t.Errorf("got exit %d, want %d: %s", code, wantCode, stdout)
			}
			f := of(got, test.check)
			if f.Result != test.result || !strings.Contains(f.Says, test.says) || !strings.Contains(f.Do, test.do) {
				t.Errorf("got %+v, want a %s that says %q and to do %q", f, test.result, test.says, test.do)
			}
			if (f.Do != "") != (f.Result == doctor.ResultFinding) {
				t.Errorf("got %+v, want something to do about a finding and nothing else", f)
			}
			if f := of(got, test.untested); test.untested != "" && f.Result != doctor.ResultUnchecked {
				t.Errorf("%s: got %+v, want it told that this was not checked", test.untested, f)
			}
			for _, plane := range []*anyframetest.Server{sound, bare, down} {
				if strings.Contains(stdout, plane.Key()) {
					t.Error("the key is in the output")
				}
			}
		})
	}
}

// front starts a proxy with its own relay behind it. The proxy's URL is the relay's public
// URL unless env overrides that.
func front(t *testing.T, handle func(backend *url.URL) http.Handler, env ...string) doctor.Deployment {
	t.Helper()
	var handler http.Handler
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { handler.ServeHTTP(w, r) }))
	t.Cleanup(proxy.Close)
	plane := anyframetest.Start(t)
	if env == nil {
		env = []string{"RELAY_PUBLIC_URL=" + proxy.URL}
	}
	relay := launch(t, "serve", append(append(upstream(plane), "RELAY_STORE=memory:"), env...)...)
	backend, err := url.Parse(relay.url)
	if err != nil {
		t.Fatal(err)
	}
	handler = handle(backend)
	c := defaults().relay
	c.PublicURL, c.Store = proxy.URL, "memory:"
	return doctor.Deployment{Config: c, Patience: patience / 2}
}

// passOn forwards a request to the relay and passes the response to answer, for the event stream.
func passOn(backend *url.URL, answer func(http.ResponseWriter, *http.Response)) http.Handler {
	plain := httputil.NewSingleHostReverseProxy(backend)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !strings.HasSuffix(r.URL.Path, "/events") {
			plain.ServeHTTP(w, r)
			return
		}
		out := r.Clone(r.Context())
		out.URL.Scheme, out.URL.Host, out.RequestURI = backend.Scheme, backend.Host, ""
		res, err := testtools.Client.Transport.RoundTrip(out)
		if err != nil {
			w.WriteHeader(http.StatusBadGateway)
			return
		}
		defer res.Body.Close()
		answer(w, res)
	})
}

func TestDoctor_UnknownSettingNames_Reported(t *testing.T) {
	t.Parallel()
	env := append(upstream(anyframetest.Start(t)), "ANYFRAME_API_TOKEN=", "RELAY_STORE=memory:")
	code, stdout, _ := execute(t, append(env, "RELAY_MAX_SESSION=5", "ANYFRAME_AGENT=1"), "doctor", "--json")
	got := readReport(t, stdout)
	want := doctor.Finding{Check: "settings", Result: doctor.ResultUnchecked, Says: "unknown or misspelled: ANYFRAME_AGENT, RELAY_MAX_SESSION"}
	if code != exitOK || !slices.Contains(got.Checks, want) {
		t.Errorf("got exit %d, %+v, want 0 and %+v among them", code, got.Checks, want)
	}
	if _, stdout, _ = execute(t, env, "doctor"); strings.Contains(stdout, "misspelled") {
		t.Errorf("got\n%swant no mention of known settings", stdout)
	}
	s := environment{file: map[string]string{"RELAY_STOR": "memory:", "RELAY_STORE": "memory:", "HOME": "/"}}
	if got := s.strangers(nil); !slices.Equal(got, []string{"RELAY_STOR"}) {
		t.Errorf(".env: got %q, want RELAY_STOR alone", got)
	}
}

func TestDoctor_ProxyAltersEvents_Reported(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		handle            func(backend *url.URL) http.Handler
		env               []string
		check, says, do   string
		result, otherwise string
	}{
		"passes all on": {
			handle: func(b *url.URL) http.Handler { return httputil.NewSingleHostReverseProxy(b) },
			check:  "events", says: "not delayed", result: doctor.ResultOK,
		},
		"holds the whole answer back": {
			handle: func(b *url.URL) http.Handler {
				return passOn(b, func(w http.ResponseWriter, res *http.Response) {
					body, _ := io.ReadAll(res.Body) // ends when doctor disconnects
					_, _ = w.Write(body)
				})
			},
			check: "events", says: "buffers events", do: "proxy_buffering off", result: doctor.ResultFinding,
		},
		"sends the head and holds the events back": {
			handle: func(b *url.URL) http.Handler {
				return passOn(b, func(w http.ResponseWriter, res *http.Response) {
					w.Header().Set("Content-Type", res.Header.Get("Content-Type"))
					_ = http.NewResponseController(w).Flush()
					_, _ = io.Copy(io.Discard, res.Body)
				})
			},
			check: "events", says: "the stream opened, but its first bytes did not arrive", do: "proxy_buffering off", result: doctor.ResultFinding,
		},
		"compresses": {
			handle: func(b *url.URL) http.Handler {
				return passOn(b, func(w http.ResponseWriter, res *http.Response) {
					w.Header().Set("Content-Type", res.Header.Get("Content-Type"))
					w.Header().Set("Content-Encoding", "gzip")
					_ = http.NewResponseController(w).Flush()
					_, _ = io.Copy(gzip.NewWriter(w), res.Body)
				})
			},
			check: "events", says: "compresses the stream (gzip)", do: "gzip off", result: doctor.ResultFinding,
		},
		"answers by itself": {
			handle: func(*url.URL) http.Handler {
				return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "<h1>It works!</h1>") })
			},
			check: "public URL", says: "not the relay's response", do: "forward all requests", result: doctor.ResultFinding,
		},
		"leads elsewhere": {
			handle: func(*url.URL) http.Handler {
				return http.RedirectHandler("https://www.example.com/", http.StatusMovedPermanently)
			},
			check: "public URL", says: "redirects with status", do: "RELAY_PUBLIC_URL", result: doctor.ResultFinding,
		},
		"rewrites Host, of which the relay knows nothing": {
			handle: func(b *url.URL) http.Handler {
				return &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(b) }}
			},
			env:   []string{"RELAY_PUBLIC_URL="},
			check: "public URL", says: "as its own origin", do: "forward the Host header", result: doctor.ResultFinding,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := front(t, test.handle, test.env...)
			got := doctor.Examine(t.Context(), d)
			f := of(got, test.check)
			if f.Result != test.result || !strings.Contains(f.Says, test.says) || !strings.Contains(f.Do, test.do) {
				t.Errorf("got %+v, want a result %s that says %q and to do %q", got.Checks, test.result, test.says, test.do)
			}
		})
	}
}

func TestDoctor_RelayNotReady_Reported(t *testing.T) {
	t.Parallel()
	plane := anyframetest.Start(t)
	relay := launch(t, "serve", append(upstream(plane), "RELAY_STORE=memory:", "ANYFRAME_API_KEY=afm_wrong")...)
	c := defaults().relay
	c.PublicURL, c.Store = relay.url, "memory:"
	until(t, "the relay notices that its key is rejected", func() bool {
		return len(probe.Unready(t.Context(), relay.url, patience)) > 0
	})
	got := doctor.Examine(t.Context(), doctor.Deployment{Config: c, Patience: patience})
	if f := of(got, "ready"); f.Result != doctor.ResultFinding || !strings.Contains(f.Says, "AnyFrame rejects the API key") {
		t.Errorf("got %+v, want a finding with the reason", got.Checks)
	}
}
