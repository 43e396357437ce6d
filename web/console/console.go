// Package console holds the operators' console: an HTML page, a style sheet and modules
// without dependencies, served unchanged by package admin.
package console

import "embed"

// Files are the console's files by name.
//
//go:embed index.html console.css *.js
var Files embed.FS
