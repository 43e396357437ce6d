package admin

import (
	"bytes"
	"io/fs"
	"net/http"
	"time"

	"github.com/go-chi/chi/v5"
)

// pagePolicy lets the page run its own script and style and send requests to its own
// origin, and nothing else.
const pagePolicy = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; " +
	"form-action 'self'; base-uri 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'"

// page serves the console. Its files need no token; the page asks the operator for one.
func (a *Admin) page(r chi.Router) {
	for _, file := range []string{"index.html", "console.css", "api.js", "console.js", "dom.js", "list.js", "transcript.js", "usage.js"} {
		path := "/" + file
		if file == "index.html" {
			path = "/"
		}
		text, err := fs.ReadFile(a.Page, file)
		if err != nil {
			continue // a relay without a page
		}
		r.Get(path, func(w http.ResponseWriter, r *http.Request) {
			h := w.Header()
			h.Set("Cache-Control", "no-cache")
			h.Set("Content-Security-Policy", pagePolicy)
			http.ServeContent(w, r, file, time.Time{}, bytes.NewReader(text))
		})
	}
}
