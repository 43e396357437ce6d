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

// healthTimeout bounds each of the two questions that health asks.
const healthTimeout = 3 * time.Second

// health asks the relay that runs on this machine with the same settings
// whether it is alive, which is what the exit code says. If the relay is not
// ready, it only prints why: a restart would not make it ready.
func health(ctx context.Context, lookup func(string) (string, bool), stdout, stderr io.Writer) int {
	s := defaults()
	env, err := readEnvironment(lookup, envFile)
	_ = env.read(s) // what is wrong with the rest is not asked here
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
		err = fmt.Errorf("%s/healthz answers %d", base, code)
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

// localURL is how this machine reaches a listener on addr.
func localURL(addr string) (string, error) {
	host, port, err := net.SplitHostPort(addr)
	if err != nil || port == "0" {
		return "", fmt.Errorf("RELAY_ADDR %q names no port to ask", addr)
	}
	if ip, err := netip.ParseAddr(host); host == "" || (err == nil && ip.IsUnspecified()) {
		host = "127.0.0.1"
		if ip.Is6() {
			host = "::1"
		}
	}
	return "http://" + net.JoinHostPort(host, port), nil
}
