package main

import (
	"context"
	"fmt"
	"io"
	"net"

	"github.com/anyframe-relay/relay/cmd/relay/internal/operate"
)

// act runs one of the commands on a relay that runs. Where that is, the settings say.
func act(ctx context.Context, args []string, lookup func(string) (string, bool), stdout, stderr io.Writer) int {
	s := defaults()
	env, err := readEnvironment(lookup, envFile)
	if err != nil {
		fmt.Fprintln(stderr, "relay:", err)
		return exitUsage
	}
	_ = env.read(s) // what is wrong with the rest is not asked here
	target := operate.Target{URL: adminURL(s.admin)}
	if len(s.relay.AdminTokens) > 0 {
		target.Token = string(s.relay.AdminTokens[0].Secret)
	}
	return operate.Run(ctx, args, target, stdout, stderr)
}

// adminURL is how this machine reaches the admin listener on addr, "" if there is none.
func adminURL(addr string) string {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return ""
	}
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	return "http://" + net.JoinHostPort(host, port)
}
