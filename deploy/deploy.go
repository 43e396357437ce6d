// Package deploy embeds the proxy configurations that ship, so that tests and chaos
// runs use the same files as operators.
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
