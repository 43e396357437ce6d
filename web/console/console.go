// Package console holds the operators' page: a document, a style sheet and modules
// without dependencies, served as they are. Package admin serves them.
package console

import "embed"

// Files are the page's, by name.
//
//go:embed index.html console.css *.js
var Files embed.FS
