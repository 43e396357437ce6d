package main

import (
	"context"
	"fmt"
	"io"
	"net"

	"github.com/anyframe-relay/relay/cmd/relay/internal/operate"
)

// act runs a command that controls a running relay, whose admin address is in the settings.
func act(ctx context.Context, args []string, lookup func(string) (string, bool), stdout, stderr io.Writer) int {
	s := defaults()
	env, err := readEnvironment(lookup, envFile)
	if err != nil {
		fmt.Fprintln(stderr, "relay:", err)
		return exitUsage
	}
	_ = env.read(s) // other settings are not checked here
	target := operate.Target{URL: adminURL(s.admin)}
	switch {
	case s.admin == "":
		target.Missing = "RELAY_ADMIN_ADDR is empty"
	case target.URL == "":
		target.Missing = "RELAY_ADMIN_ADDR " + needsPort
	}
	if len(s.relay.AdminTokens) > 0 {
		target.Token = string(s.relay.AdminTokens[0].Secret)
	}
	return operate.Run(ctx, args, target, stdout, stderr)
}

// adminURL returns the URL of the admin listener on addr from this machine, or "" if
// there is no such listener.
func adminURL(addr string) string {
	host, port, err := net.SplitHostPort(addr)
	if err != nil || !listenable(addr) {
		return ""
	}
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	return "http://" + net.JoinHostPort(host, port)
}
