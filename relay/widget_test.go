package relay_test

import (
	"compress/gzip"
	"crypto/sha256"
	"encoding/base64"
	"io"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/anyframe-relay/relay/relay"
)

var assetURL = regexp.MustCompile(`assets/[a-z]+\.[0-9a-f]{12}\.(?:js|css)`)

var hashIn = regexp.MustCompile(`\.[0-9a-f]{12}\.`)

// assetsOf returns the files that a document references.
func assetsOf(body string) []string {
	found := assetURL.FindAllString(body, -1)
	slices.Sort(found)
	return slices.Compact(found)
}

func TestWidget_PageAndAssets_Served(t *testing.T) {
	for _, base := range []string{"", "/chat", "/a/b"} {
		t.Run("under "+base+"/", func(t *testing.T) {
			d := newOffline(t, func(c *relay.Config) {
				c.BasePath, c.Look.Title = base, "Ask us"
				c.Triggers = []relay.Trigger{{Word: "table", Shows: "a table"}} // the page with all its files
			})
			page := d.ask("GET", base+"/", "")
			if page.status != http.StatusOK || page.header.Get("Content-Type") != "text/html; charset=utf-8" {
				t.Errorf("the page: got %d %q, want 200 HTML", page.status, page.header.Get("Content-Type"))
			}
			for _, want := range []string{"<title>Ask us</title>", `src="widget.js"`, "<relay-chat"} {
				if !strings.Contains(page.body, want) {
					t.Errorf("the page: got %s, want %s in it", page.body, want)
				}
			}
			policy := page.header.Get("Content-Security-Policy")
			for _, want := range []string{
				"default-src 'none'", "script-src 'self'", "connect-src 'self'", "base-uri 'none'", "form-action 'none'", "frame-ancestors 'none'",
				"require-trusted-types-for 'script'", "trusted-types 'none'",
			} {
				if !slices.Contains(strings.Split(policy, "; "), want) {
					t.Errorf("the page's policy: got %q, want %s in it", policy, want)
				}
			}
			if strings.Contains(policy, "unsafe") || page.header.Get("X-Content-Type-Options") != "nosniff" || page.header.Get("Cache-Control") != "no-cache" {
				t.Errorf("the page: got %v, want nothing unsafe, nosniff, no-cache", page.header)
			}

			loader := d.ask("GET", base+"/widget.js", "")
			if loader.status != http.StatusOK || !strings.HasPrefix(loader.header.Get("Content-Type"), "text/javascript") {
				t.Errorf("the loader: got %d %q, want 200 JavaScript", loader.status, loader.header.Get("Content-Type"))
			}
			for name, want := range map[string]string{
				"Access-Control-Allow-Origin": "*", "Cross-Origin-Resource-Policy": "cross-origin", "Cache-Control": "public, max-age=300", "X-Content-Type-Options": "nosniff",
			} {
				if got := loader.header.Get(name); got != want {
					t.Errorf("the loader: got %s %q, want %q", name, got, want)
				}
			}
			named := slices.Concat(assetsOf(page.body), assetsOf(loader.body))
			for _, pack := range []string{"ar", "de", "es", "fr", "ja", "pt", "zh"} {
				named = append(named, strings.Replace(assetsOf(loader.body)[0], "panel", pack, 1)) // as the panel derives it
			}
			if len(named) < 10 {
				t.Fatalf("files that the page and the loader name: got %v, want the panel, a style sheet, the demo's script and the languages", named)
			}
			for _, file := range named {
				a := d.ask("GET", base+"/"+file, "")
				for name, want := range map[string]string{
					"Access-Control-Allow-Origin": "*", "Cross-Origin-Resource-Policy": "cross-origin",
					"Cache-Control": "public, max-age=31536000, immutable", "X-Content-Type-Options": "nosniff",
				} {
					if got := a.header.Get(name); got != want {
						t.Errorf("%s: got %s %q, want %q", file, name, got, want)
					}
				}
				if hash := hashIn.FindString(file); a.status != http.StatusOK || hash != hashIn.FindString(named[0]) {
					t.Errorf("%s: got %d, want 200 and the hash of %s", file, a.status, named[0])
				}
				// The name of an older relay, as a cached loader may request it.
				old := hashIn.ReplaceAllString(file, ".0123456789ab.")
				b := d.ask("GET", base+"/"+old, "")
				if b.status != http.StatusOK || b.body != a.body || b.header.Get("Cache-Control") != "no-store" {
					t.Errorf("%s: got %d, Cache-Control %q, want today's content, not cached", old, b.status, b.header.Get("Cache-Control"))
				}
				if c := d.ask("GET", base+"/"+file, "", "If-None-Match", a.header.Get("ETag")); c.status != http.StatusNotModified {
					t.Errorf("%s, asked for again: got %d, want 304", file, c.status)
				}
				if h := d.ask("HEAD", base+"/"+file, ""); h.status != http.StatusOK || h.body != "" {
					t.Errorf("HEAD %s: got %d and %d bytes, want 200 and none", file, h.status, len(h.body))
				}
			}
			missing := d.ask("GET", base+"/assets/nothing.0123456789ab.js", "")
			refused(t, "a file that never was", missing, 404, "not_found")
			if got := missing.header.Get("Cache-Control"); got != "no-store" {
				t.Errorf("a file that never was: got Cache-Control %q, want no-store", got)
			}
			refused(t, "the page as a file", d.ask("GET", base+"/assets/index.html", ""), 404, "not_found")
			refused(t, "the bare loader as a file", d.ask("GET", base+"/assets/widget.js", ""), 404, "not_found")
			if base == "" {
				return
			}
			if a := d.ask("GET", base, ""); a.status != http.StatusPermanentRedirect || a.header.Get("Location") != base+"/" {
				t.Errorf("%s: got %d to %q, want 308 to %s/", base, a.status, a.header.Get("Location"), base)
			}
			for _, path := range []string{"/", "/widget.js", "/healthz", "/readyz", "/v1/session", base + "x/v1/session", base + base + "/v1/session"} {
				refused(t, path+" outside of the base path", d.ask("GET", path, ""), 404, "not_found")
			}
		})
	}
}

func TestWidget_AssetNames_ChangeWithContent(t *testing.T) {
	panel := func(pack string) string {
		t.Helper()
		url, err := relay.PanelURL(fstest.MapFS{
			"index.html": {}, "widget.js": {Data: []byte(`"__RELAY_CONFIG__"`)}, "panel.js": {Data: []byte("1")}, "de.js": {Data: []byte(pack)},
		})
		if err != nil {
			t.Fatal(err)
		}
		return url
	}
	if a, b := panel("eins"), panel("eins"); a != b {
		t.Errorf("the same files: got %s and %s, want one name", a, b)
	}
	if a, b := panel("eins"), panel("zwei"); a == b {
		t.Errorf("another pack: got %s for both, want another name", a)
	}
}

func TestWidget_Assets_CompressedAndSmall(t *testing.T) {
	d := newOffline(t, func(c *relay.Config) { c.Look.Title = "Ask us" })
	total := 0
	measure := func(path string) string {
		t.Helper()
		plain := d.ask("GET", path, "").body
		zipped := d.ask("GET", path, "", "Accept-Encoding", "br, gzip;q=0.8")
		if zipped.header.Get("Content-Encoding") != "gzip" || zipped.header.Get("Vary") != "Accept-Encoding" {
			t.Fatalf("%s: got %v, want gzip that varies with what the browser takes", path, zipped.header)
		}
		r, err := gzip.NewReader(strings.NewReader(zipped.body))
		if err != nil {
			t.Fatal(err)
		}
		if got, err := io.ReadAll(r); err != nil || string(got) != plain {
			t.Fatalf("%s: got other content compressed than plain, error %v", path, err)
		}
		if a := d.ask("GET", path, "", "Accept-Encoding", "gzip", "If-None-Match", zipped.header.Get("ETag")); a.status != http.StatusNotModified {
			t.Errorf("%s, asked for again: got %d, want 304", path, a.status)
		}
		for _, refusal := range []string{"br", "gzip;q=0", "gzip; q=0.0"} {
			if a := d.ask("GET", path, "", "Accept-Encoding", refusal); a.header.Get("Content-Encoding") != "" || a.body != plain {
				t.Errorf("%s for %q: got %q, want it plain", path, refusal, a.header.Get("Content-Encoding"))
			}
		}
		total += len(zipped.body)
		return plain
	}
	panel := assetsOf(measure("/widget.js"))[0]
	if total > 3<<10 {
		t.Errorf("the loader: got %d bytes, want at most 3 KiB", total)
	}
	measure("/" + panel)
	if total > 30<<10 {
		t.Errorf("loader and panel: got %d bytes, want at most 30 KiB", total)
	}
}

func TestWidget_Loader_PinnableByHash(t *testing.T) {
	d := newOffline(t, nil)
	hash := func() string {
		sum := sha256.Sum256([]byte(d.ask("GET", "/widget.js", "").body))
		return base64.StdEncoding.EncodeToString(sum[:])
	}
	if a, b := hash(), hash(); a != b {
		t.Errorf("got %s, then %s, want the same bytes every time", a, b)
	}
}

func TestWidget_Page_SecurityHeaders(t *testing.T) {
	for frames, list := range map[string][]string{
		"'none'": nil, "https://shop.example https://*.wild.example": {"https://shop.example", "https://*.wild.example"}, "*": {"*"},
	} {
		d := newOffline(t, origins(list...))
		h := d.ask("GET", "/", "").header
		policy := h.Get("Content-Security-Policy")
		if !slices.Contains(strings.Split(policy, "; "), "frame-ancestors "+frames) || strings.Contains(policy, "unsafe") {
			t.Errorf("the page's policy: got %q, want frame-ancestors %s and nothing unsafe", policy, frames)
		}
		for name, want := range map[string]string{
			"Referrer-Policy": "no-referrer", "X-Content-Type-Options": "nosniff", "Cross-Origin-Opener-Policy": "same-origin", "Strict-Transport-Security": "",
		} {
			if got := h.Get(name); got != want {
				t.Errorf("the page: got %s %q, want %q", name, got, want)
			}
		}
		for _, feature := range []string{"camera=()", "microphone=()", "geolocation=()", "payment=()"} {
			if !slices.Contains(strings.Split(h.Get("Permissions-Policy"), ", "), feature) {
				t.Errorf("the page's permissions: got %q, want %s", h.Get("Permissions-Policy"), feature)
			}
		}
		for _, path := range []string{"/v1/session", "/v1/nothing", "/v1/events"} {
			if got := d.ask("GET", path, "").header.Get("Content-Security-Policy"); got != "default-src 'none'; frame-ancestors 'none'" {
				t.Errorf("%s: got policy %q, want that nothing may be done with it", path, got)
			}
		}
	}
}
