package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"time"

	"github.com/anyframe-relay/relay/cmd/relay/internal/probe"
)

// healthTimeout limits each of the two requests that health makes.
const healthTimeout = 3 * time.Second

// health checks the relay that runs on this machine with the same settings. The exit code
// is 0 if the relay is alive. If the relay is not ready, health only prints the reasons,
// because a restart would not make it ready.
func health(ctx context.Context, lookup func(string) (string, bool), stdout, stderr io.Writer) int {
	s := defaults()
	env, err := readEnvironment(lookup, envFile)
	_ = env.read(s) // other settings are not checked here
	base, addrErr := localURL(s.addr)
	for _, err := range []error{err, addrErr} {
		if err != nil {
			fmt.Fprintln(stderr, "relay:", err)
			return exitUsage
		}
	}
	base += s.relay.BasePath
	code, _, err := probe.Get(ctx, base+"/healthz", healthTimeout)
	if err == nil && code != http.StatusOK {
		err = fmt.Errorf("%s/healthz returned status %d", base, code)
	}
	if err != nil {
		fmt.Fprintln(stderr, "relay: not alive:", probe.Printable(err.Error()))
		return exitError
	}
	if reasons := probe.Unready(ctx, base, healthTimeout); len(reasons) > 0 {
		fmt.Fprintln(stdout, "alive, not ready:", probe.Printable(strings.Join(reasons, "; ")))
		return exitOK
	}
	fmt.Fprintln(stdout, "alive and ready")
	return exitOK
}

// localURL returns the URL of a listener on addr from this machine.
func localURL(addr string) (string, error) {
	host, port, err := net.SplitHostPort(addr)
	if err != nil || port == "0" {
		return "", fmt.Errorf("RELAY_ADDR %q has no fixed port to check", addr)
	}
	if ip, err := netip.ParseAddr(host); host == "" || (err == nil && ip.IsUnspecified()) {
		host = "127.0.0.1"
		if ip.Is6() {
			host = "::1"
		}
	}
	return "http://" + net.JoinHostPort(host, port), nil
}
