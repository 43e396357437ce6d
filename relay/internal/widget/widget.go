// Package widget serves the widget's files: the loader, the hashed assets it loads, the
// full page, and the demo's playground.
//
// It decides how these files are named, cached, compressed and embedded. It does not
// depend on visitors, sessions or tokens: the files are public and the same for all
// visitors.
package widget

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
	"sync"
	"time"

	"github.com/go-chi/chi/v5"

	"github.com/anyframe-relay/relay/relay/internal/problem"
)

// Look is the widget's default appearance, which the embedding page may override.
type Look struct {
	Title    string
	Greeting string
	Starters []string
	Accent   string
	Locale   string
}

// Trigger is a word that makes the scripted agent show a feature.
type Trigger struct{ Word, Shows string }

// Options are what the files depend on.
type Options struct {
	// BasePath is the prefix of all routes, such as /chat. Empty is the root.
	BasePath string
	// SitePath is the prefix of the site's routes below BasePath, such as /s/support.
	// Empty is the default site.
	SitePath string
	// PublicURL is the URL at which browsers reach the relay. If empty, the page shows an
	// example.
	PublicURL string
	// AllowedOrigins are the origins that may frame the page.
	AllowedOrigins []string

	Look Look
	// Triggers turns the page into the demo's. If empty, there is no playground.
	Triggers []Trigger
	// BootOnOpen makes the panel boot a sandbox when it opens.
	BootOnOpen bool
}

// Files are the widget and the page of one site.
type Files struct {
	*Assets
	policy     string // the page's Content-Security-Policy
	loader     asset
	index      asset
	playground asset // the demo's; otherwise empty
}

// Assets are the files that all sites share, prepared once.
type Assets struct {
	source  fs.FS
	files   map[string]asset  // by hashed name
	current map[string]string // by name without hash: the hashed name
	urls    map[string]string // by name without hash: the URL relative to the page and to the loader
	loader  []byte            // without its configuration
}

type asset struct {
	name    string
	content []byte
	zipped  func() []byte // the content as gzip, compressed on first use
	etag    string
}

func newAsset(name string, content []byte) asset {
	sum := sha256.Sum256(content)
	zipped := sync.OnceValue(func() []byte {
		var b bytes.Buffer
		w, _ := gzip.NewWriterLevel(&b, gzip.BestCompression) // a valid level
		_, _ = w.Write(content)                               // writes to a buffer never fail
		_ = w.Close()
		return b.Bytes()
	})
	return asset{name, content, zipped, hex.EncodeToString(sum[:8])}
}

// configMark is the placeholder of the configuration in the loader.
const configMark = `"__RELAY_CONFIG__"`

// Load reads the widget's files and returns those of one site.
func Load(o Options, files fs.FS) (*Files, error) {
	assets, err := LoadAssets(files)
	if err != nil {
		return nil, err
	}
	return assets.ForSite(o)
}

// LoadAssets reads the widget's files. Each gets a name with the hash of their content,
// so that it can be cached forever; only the loader's name is stable. All files share one
// hash, so that the panel can derive the names of the files that it loads later from its
// own.
func LoadAssets(files fs.FS) (*Assets, error) {
	a := &Assets{source: files, files: map[string]asset{}, current: map[string]string{}, urls: map[string]string{}}
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
		a.files[hashed], a.current[name], a.urls[name] = newAsset(name, data), hashed, "assets/"+hashed
	}

	if a.loader, err = fs.ReadFile(files, "widget.js"); err != nil {
		return nil, err
	}
	if n := bytes.Count(a.loader, []byte(configMark)); n != 1 {
		return nil, fmt.Errorf("widget.js holds %s %d times, want once", configMark, n)
	}
	return a, nil
}

// ForSite returns the files of one site.
func (s *Assets) ForSite(o Options) (*Files, error) {
	a := &Files{Assets: s, policy: o.pagePolicy()}
	settings := struct { // unset members are omitted: the loader must stay small
		Panel    string   `json:"panel"`
		Src      string   `json:"src,omitempty"` // for a loader that cannot find its own tag
		Boot     string   `json:"boot,omitempty"`
		Title    string   `json:"title,omitempty"`
		Greeting string   `json:"greeting,omitempty"`
		Starters []string `json:"starters,omitempty"`
		Accent   string   `json:"accent,omitempty"`
		Locale   string   `json:"locale,omitempty"`
	}{s.urls["panel.js"], "", "", o.Look.Title, o.Look.Greeting, o.Look.Starters, o.Look.Accent, o.Look.Locale}
	if o.BootOnOpen {
		settings.Boot = "open"
	}
	if o.PublicURL != "" {
		settings.Src = o.widgetURL()
	}
	config, err := json.Marshal(settings) // escapes < and >, so this is safe in a script
	if err != nil {
		return nil, err
	}
	a.loader = newAsset("widget.js", bytes.Replace(s.loader, []byte(configMark), config, 1))

	page := map[string]any{
		"Base": o.BasePath + o.SitePath, "Assets": s.urls, "Demo": len(o.Triggers) > 0, "Triggers": o.Triggers, "Widget": o.widgetURL(), "Embed": o.embedTag(),
		"Title": o.Look.Title, "Greeting": o.Look.Greeting, "Starters": o.Look.Starters, "Accent": o.Look.Accent, "Locale": o.Look.Locale,
	}
	if a.index, err = renderPage(s.source, "index.html", page); err != nil {
		return nil, err
	}
	if len(o.Triggers) > 0 {
		a.playground, err = renderPage(s.source, "playground.html", page)
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

// embedTag returns the tag that embeds the widget in another page.
func (o *Options) embedTag() string {
	return `<script async src="` + o.widgetURL() + `"></script>`
}

// widgetURL uses the public URL, not the request's Host header, which any client can
// choose.
func (o *Options) widgetURL() string {
	base := strings.TrimSuffix(o.PublicURL, "/")
	if base == "" {
		base = "https://relay.example.com" + o.BasePath
	}
	return base + o.SitePath + "/widget.js"
}

// pagePolicy lets the full page run only the widget, and only in frames of the listed
// origins.
func (o *Options) pagePolicy() string {
	frames := "'none'"
	if len(o.AllowedOrigins) > 0 {
		frames = strings.Join(o.AllowedOrigins, " ")
	}
	return "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data: blob:; " +
		"base-uri 'none'; form-action 'none'; frame-ancestors " + frames + "; require-trusted-types-for 'script'; trusted-types 'none'"
}

// permissionsPolicy turns off features that the page never uses.
const permissionsPolicy = "camera=(), display-capture=(), geolocation=(), hid=(), microphone=(), midi=(), payment=(), serial=(), usb=()"

// Page serves the full page.
func (a *Files) Page(w http.ResponseWriter, r *http.Request) { a.servePage(w, r, a.index) }

// Playground serves the demo's page of triggers.
func (a *Files) Playground(w http.ResponseWriter, r *http.Request) { a.servePage(w, r, a.playground) }

func (a *Files) servePage(w http.ResponseWriter, r *http.Request, page asset) {
	h := w.Header()
	h.Set("Content-Security-Policy", a.policy)
	h.Set("Permissions-Policy", permissionsPolicy)
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Cache-Control", "no-cache")
	page.serve(w, r)
}

// Loader serves widget.js.
func (a *Files) Loader(w http.ResponseWriter, r *http.Request) {
	allowAnyOrigin(w.Header())
	w.Header().Set("Cache-Control", "public, max-age=300")
	a.loader.serve(w, r)
}

// Asset serves a file by its hashed name, which is the route parameter file. A name of an
// older version of the relay, which a cached loader may request, gets the current
// content, and is not cached.
func (a *Files) Asset(w http.ResponseWriter, r *http.Request) error {
	name := chi.URLParam(r, "file")
	found, ok := a.files[name]
	w.Header().Set("Cache-Control", "public, max-age=31536000, immutable")
	if !ok {
		if found, ok = a.files[a.current[withoutHash(name)]]; !ok {
			w.Header().Set("Cache-Control", "no-store")
			return problem.NotFound
		}
		w.Header().Set("Cache-Control", "no-store")
	}
	allowAnyOrigin(w.Header())
	found.serve(w, r)
	return nil
}

// Name returns the current hashed name of a file, or "" if there is none.
func (a *Files) Name(file string) string { return a.current[file] }

func withoutHash(name string) string {
	ext := path.Ext(name)
	stem := strings.TrimSuffix(name, ext)
	return strings.TrimSuffix(stem, path.Ext(stem)) + ext
}

// allowAnyOrigin lets pages of any origin load a file, including cross-origin isolated
// ones. The files are public and contain nothing about a visitor.
func allowAnyOrigin(h http.Header) {
	h.Set("Access-Control-Allow-Origin", "*")
	h.Set("Cross-Origin-Resource-Policy", "cross-origin")
}

func (a asset) serve(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("X-Content-Type-Options", "nosniff")
	h.Add("Vary", "Accept-Encoding")
	content, etag := a.content, a.etag
	if acceptsGzip(r) {
		content, etag = a.zipped(), etag+"-gzip"
		h.Set("Content-Encoding", "gzip")
	}
	h.Set("ETag", `"`+etag+`"`)
	if kind := mime.TypeByExtension(path.Ext(a.name)); kind != "" {
		h.Set("Content-Type", kind)
	}
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(content))
}

// acceptsGzip reports whether the client accepts gzip.
func acceptsGzip(r *http.Request) bool {
	for coding := range strings.SplitSeq(r.Header.Get("Accept-Encoding"), ",") {
		name, weight, _ := strings.Cut(strings.ReplaceAll(coding, " ", ""), ";")
		if name == "gzip" {
			return strings.TrimRight(weight, "0.") != "q="
		}
	}
	return false
}
