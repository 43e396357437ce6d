// Package web contains the chat widget as the relay serves it. The sources are in src, on top of
// clients/js. static is built from them, except for the HTML, and committed, so that building the
// relay does not need Node.
package web

import (
	"embed"
	"io/fs"
)

// The loader is a classic script, because only a classic script can read the tag that loaded it.
// The panel is a module, because a loader may import modules on a page whose policy forbids scripts
// to name scripts. Unique property names are shortened, which saves a fiftieth of a visitor's
// download.
//
//go:generate go tool esbuild src/loader.js --bundle --minify --mangle-props=^own$|^act$ --format=iife --target=es2022 --charset=utf8 --outfile=static/widget.js
//go:generate go tool esbuild src/mount.js --bundle --minify --mangle-props=^(acts|announcer|awake|bannerText|begun|busy|caughtUp|complain|conversation|errorText|follow|frame|lastEventId|msg|news|nodes|onChange|onDraft|onEvent|onFiles|onFrame|onLink|onOpen|onRetry|onSend|onStarter|onState|onView|onVisitor|onWait|polite|reconnected|regions|render|retryAfter|row|sameOrigin|seq|shell|space|started|stuck|targetBusy|tell|tick|toEnd|transcript|turns|welcome)$ --format=esm --target=es2022 --charset=utf8 --outfile=static/panel.js
//go:generate go tool esbuild src/markdown.js --bundle --minify --mangle-props=^(above|aligns|autolink|bareLink|below|blocks|bracket|brackets|budget|closeBracket|codeSpan|emphasis|entity|fence|insideLink|kids|len|level|literal|node|opens|orig|pos|prev|runs|saw|tail|takes|ticks|ticksKnown)$ --format=esm --target=es2022 --charset=utf8 --outfile=static/markdown.js
//go:generate go tool esbuild src/brand.js src/cards.js src/consent.js src/encoding.js src/files.js src/fresh.js src/menu.js src/rate.js src/sound.js src/trouble.js --bundle --minify --format=esm --target=es2022 --charset=utf8 --outdir=static
//go:generate go tool esbuild ../clients/js/src/challenge.js ../clients/js/src/more.js --bundle --minify --format=esm --target=es2022 --charset=utf8 --outdir=static
//go:generate go tool esbuild src/lang/ar.js src/lang/de.js src/lang/es.js src/lang/fr.js src/lang/ja.js src/lang/pt.js src/lang/zh.js --minify --format=esm --target=es2022 --charset=utf8 --entry-names=[name] --outdir=static
//go:generate go tool esbuild src/page.js --bundle --minify --format=iife --target=es2022 --charset=utf8 --outfile=static/page.js
//go:generate go tool esbuild src/page.css --minify --charset=utf8 --outfile=static/page.css
//go:generate go tool esbuild src/playground.js --bundle --minify --format=iife --target=es2022 --charset=utf8 --outfile=static/playground.js
//go:generate go tool esbuild src/playground.css --minify --charset=utf8 --outfile=static/playground.css

//go:embed static
var static embed.FS

// Files returns the built widget: widget.js, panel.js, and the files that panel.js loads for the
// agent's first text (markdown.js), the first question (cards.js), attachment (files.js), attached
// text that is not UTF-8 (encoding.js), sound (sound.js), a website's own icons (brand.js), a new
// conversation (fresh.js), rare actions (more.js, menu.js), a rating (rate.js), consent
// (consent.js), proof of work (challenge.js) and diagnosis (trouble.js). It also has a pack for
// each language but English, and the HTML (a html/template), style sheet and script of the full
// page and of the demo's playground.
func Files() fs.FS {
	files, err := fs.Sub(static, "static")
	if err != nil {
		panic(err) // the name is a constant, so this cannot happen
	}
	return files
}
