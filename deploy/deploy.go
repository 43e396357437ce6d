// Package deploy holds the proxy configurations that ship, so that what tests
// and chaos runs try is what operators get.
package deploy

import _ "embed" // for the files

var (
	// NginxConf is nginx.conf.
	//
	//go:embed nginx.conf
	NginxConf string
	// Caddyfile is Caddyfile.
	//
	//go:embed Caddyfile
	Caddyfile []byte
)
