package relay

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"html/template"
	"io/fs"
	"mime"
	"net/http"
	"path"
	"strings"
	"time"

	"github.com/go-chi/chi/v5"
)

// assets are the widget and the page, made ready once at start.
type assets struct {
	policy     string // of the page
	widget     asset
	index      asset
	playground asset             // the demo's; empty otherwise
	files      map[string]asset  // by name with its hash
	current    map[string]string // by name without: what it is called now
}

type asset struct {
	name    string
	content []byte
	zipped  []byte // the content as gzip
	etag    string
}

func newAsset(name string, content []byte) asset {
	sum := sha256.Sum256(content)
	var zipped bytes.Buffer
	w, _ := gzip.NewWriterLevel(&zipped, gzip.BestCompression) // the level is one there is
	_, _ = w.Write(content)                                    // a buffer takes everything
	_ = w.Close()
	return asset{name, content, zipped.Bytes(), hex.EncodeToString(sum[:8])}
}

// configMark is what the loader holds where its configuration goes.
const configMark = `"__RELAY_CONFIG__"`

// loadAssets reads the widget's files. Each gets a name with the hash of their
// content, so that it can be cached for good; only the loader's name is stable.
// One hash serves all, for by its own the panel finds what it loads later.
func loadAssets(c *Config, files fs.FS) (*assets, error) {
	a := &assets{policy: c.pagePolicy(), files: map[string]asset{}, current: map[string]string{}}
	urls := map[string]string{} // relative to the page and to the loader
	content := map[string][]byte{}
	sum := sha256.New()
	err := fs.WalkDir(files, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || path.Ext(name) == ".html" || name == "widget.js" {
			return err
		}
		content[name], err = fs.ReadFile(files, name)
		fmt.Fprintf(sum, "%s %d\n%s", name, len(content[name]), content[name])
		return err
	})
	if err != nil {
		return nil, err
	}
	hash := hex.EncodeToString(sum.Sum(nil)[:6])
	for name, data := range content {
		ext := path.Ext(name)
		hashed := strings.TrimSuffix(name, ext) + "." + hash + ext
		a.files[hashed], a.current[name], urls[name] = newAsset(name, data), hashed, "assets/"+hashed
	}

	loader, err := fs.ReadFile(files, "widget.js")
	if err != nil {
		return nil, err
	}
	if n := bytes.Count(loader, []byte(configMark)); n != 1 {
		return nil, fmt.Errorf("widget.js holds %s %d times, want once", configMark, n)
	}
	settings := struct { // what is not set is left out: the loader must stay small
		Panel    string   `json:"panel"`
		Src      string   `json:"src,omitempty"` // for a loader that does not know its tag
		Boot     string   `json:"boot,omitempty"`
		Title    string   `json:"title,omitempty"`
		Greeting string   `json:"greeting,omitempty"`
		Starters []string `json:"starters,omitempty"`
		Accent   string   `json:"accent,omitempty"`
		Locale   string   `json:"locale,omitempty"`
	}{urls["panel.js"], "", "", c.Look.Title, c.Look.Greeting, c.Look.Starters, c.Look.Accent, c.Look.Locale}
	if c.BootOnOpen {
		settings.Boot = "open"
	}
	if c.PublicURL != "" {
		settings.Src = c.widgetURL()
	}
	config, err := json.Marshal(settings) // escapes < and >, so this is safe in a script
	if err != nil {
		return nil, err
	}
	a.widget = newAsset("widget.js", bytes.Replace(loader, []byte(configMark), config, 1))

	page := map[string]any{
		"Base": c.BasePath, "Assets": urls, "Demo": len(c.Triggers) > 0, "Triggers": c.Triggers, "Widget": c.widgetURL(), "Embed": c.embedTag(),
		"Title": c.Look.Title, "Greeting": c.Look.Greeting, "Starters": c.Look.Starters, "Accent": c.Look.Accent, "Locale": c.Look.Locale,
	}
	if a.index, err = renderPage(files, "index.html", page); err != nil {
		return nil, err
	}
	if len(c.Triggers) > 0 {
		a.playground, err = renderPage(files, "playground.html", page)
	}
	return a, err
}

func renderPage(files fs.FS, name string, data map[string]any) (asset, error) {
	page, err := template.ParseFS(files, name)
	if err != nil {
		return asset{}, err
	}
	var html bytes.Buffer
	if err = page.Execute(&html, data); err != nil {
		return asset{}, err
	}
	return newAsset(name, html.Bytes()), nil
}

// embedTag is the one tag that puts the widget on another page.
func (c *Config) embedTag() string {
	return `<script async src="` + c.widgetURL() + `"></script>`
}

// widgetURL names the public URL: what a request says of our host is anybody's
// to choose.
func (c *Config) widgetURL() string {
	base := strings.TrimSuffix(c.PublicURL, "/")
	if base == "" {
		base = "https://relay.example.com" + c.BasePath
	}
	return base + "/widget.js"
}

// pagePolicy lets the full page run the widget and nothing else, in frames of
// the listed origins only.
func (c *Config) pagePolicy() string {
	frames := "'none'"
	if len(c.AllowedOrigins) > 0 {
		frames = strings.Join(c.AllowedOrigins, " ")
	}
	return "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data: blob:; " +
		"base-uri 'none'; form-action 'none'; frame-ancestors " + frames + "; require-trusted-types-for 'script'; trusted-types 'none'"
}

// unneeded are what the page never asks a browser for.
const unneeded = "camera=(), display-capture=(), geolocation=(), hid=(), microphone=(), midi=(), payment=(), serial=(), usb=()"

func (a *assets) page(page asset) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", a.policy)
		h.Set("Permissions-Policy", unneeded)
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		h.Set("Cache-Control", "no-cache")
		page.serve(w, r)
	}
}

func (a *assets) loader(w http.ResponseWriter, r *http.Request) {
	forEverybody(w.Header())
	w.Header().Set("Cache-Control", "public, max-age=300")
	a.widget.serve(w, r)
}

// file serves a file by its hashed name. One of an older version of the relay,
// which a cached loader may ask for, gets today's content, and no cache keeps it.
func (a *assets) file(w http.ResponseWriter, r *http.Request) error {
	name := chi.URLParam(r, "file")
	found, ok := a.files[name]
	w.Header().Set("Cache-Control", "public, max-age=31536000, immutable")
	if !ok {
		if found, ok = a.files[a.current[withoutHash(name)]]; !ok {
			w.Header().Set("Cache-Control", "no-store")
			return errNotFound
		}
		w.Header().Set("Cache-Control", "no-store")
	}
	forEverybody(w.Header())
	found.serve(w, r)
	return nil
}

func withoutHash(name string) string {
	ext := path.Ext(name)
	stem := strings.TrimSuffix(name, ext)
	return strings.TrimSuffix(stem, path.Ext(stem)) + ext
}

// forEverybody lets pages of any origin load a file, those that isolate
// themselves included. The files are public and say nothing about a visitor.
func forEverybody(h http.Header) {
	h.Set("Access-Control-Allow-Origin", "*")
	h.Set("Cross-Origin-Resource-Policy", "cross-origin")
}

func (a asset) serve(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("X-Content-Type-Options", "nosniff")
	h.Add("Vary", "Accept-Encoding")
	content, etag := a.content, a.etag
	if takesGzip(r) {
		content, etag = a.zipped, etag+"-gzip"
		h.Set("Content-Encoding", "gzip")
	}
	h.Set("ETag", `"`+etag+`"`)
	if kind := mime.TypeByExtension(path.Ext(a.name)); kind != "" {
		h.Set("Content-Type", kind)
	}
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(content))
}

// takesGzip reports whether the client says that it reads gzip.
func takesGzip(r *http.Request) bool {
	for coding := range strings.SplitSeq(r.Header.Get("Accept-Encoding"), ",") {
		name, weight, _ := strings.Cut(strings.ReplaceAll(coding, " ", ""), ";")
		if name == "gzip" {
			return strings.TrimRight(weight, "0.") != "q="
		}
	}
	return false
}
