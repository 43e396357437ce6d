// Package deploy embeds the proxy configurations that ship with the relay, so that tests
// and chaos runs use the same files as operators.
package deploy

import _ "embed" // for the files

var (
	// NginxConf is the content of nginx.conf.
	//
	//go:embed nginx.conf
	NginxConf string
	// Caddyfile is the content of Caddyfile.
	//
	//go:embed Caddyfile
	Caddyfile []byte
)
