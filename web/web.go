// Package web holds the chat widget as the relay serves it. The sources are in
// src; static is built from them, but for index.html, and committed, so that
// building the relay needs no Node.
package web

import (
	"embed"
	"io/fs"
)

// The loader is a classic script, because only that knows the tag it came in.
// The panel is a module, because that is what a loader may fetch on a page
// whose policy forbids scripts to name scripts.
//
//go:generate go tool esbuild src/loader.js --bundle --minify --format=iife --target=es2022 --charset=utf8 --outfile=static/widget.js
//go:generate go tool esbuild src/panel.js --bundle --minify --format=esm --target=es2022 --charset=utf8 --outfile=static/panel.js
//go:generate go tool esbuild src/lang/ar.js src/lang/de.js src/lang/es.js src/lang/fr.js src/lang/ja.js src/lang/pt.js src/lang/zh.js --minify --format=esm --target=es2022 --charset=utf8 --outdir=static
//go:generate go tool esbuild src/page.js --bundle --minify --format=iife --target=es2022 --charset=utf8 --outfile=static/page.js
//go:generate go tool esbuild src/page.css --minify --charset=utf8 --outfile=static/page.css

//go:embed static
var static embed.FS

// Files returns the built widget: widget.js, panel.js, a pack for each language
// but English, and the full page's index.html (a html/template), page.css and
// page.js.
func Files() fs.FS {
	files, err := fs.Sub(static, "static")
	if err != nil {
		panic(err) // the name is a constant, so this cannot be
	}
	return files
}
