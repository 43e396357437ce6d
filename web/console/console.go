// Package console contains the operators' page: a document, a style sheet and
// modules without dependencies. Package admin serves them unchanged.
package console

import "embed"

// Files are the page's files, by name.
//
//go:embed index.html console.css *.js
var Files embed.FS
