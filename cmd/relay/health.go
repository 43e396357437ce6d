package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"time"
)

// healthTimeout bounds each of the two questions that health asks.
const healthTimeout = 3 * time.Second

// health asks the relay that runs on this machine with the same settings
// whether it is alive, which is what the exit code says, and tells why it is
// not ready if it isn't: to start it anew would not make it so.
func health(ctx context.Context, lookup func(string) (string, bool), stdout, stderr io.Writer) int {
	s := defaults()
	env, err := readEnvironment(lookup, ".env")
	_ = env.read(s) // what is wrong with the rest is not asked here
	base, addrErr := localURL(s.addr)
	for _, err := range []error{err, addrErr} {
		if err != nil {
			fmt.Fprintln(stderr, "relay:", err)
			return exitUsage
		}
	}
	base += s.relay.BasePath
	code, _, err := get(ctx, base+"/healthz", healthTimeout)
	if err == nil && code != http.StatusOK {
		err = fmt.Errorf("%s/healthz answers %d", base, code)
	}
	if err != nil {
		fmt.Fprintln(stderr, "relay: not alive:", err)
		return exitError
	}
	if reasons := unready(ctx, base, healthTimeout); len(reasons) > 0 {
		fmt.Fprintln(stdout, "alive, not ready:", strings.Join(reasons, "; "))
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

// unready returns the reasons why the relay at base is not ready.
func unready(ctx context.Context, base string, timeout time.Duration) []string {
	code, body, err := get(ctx, base+"/readyz", timeout)
	var told struct{ Reasons []string }
	switch {
	case err != nil:
		return []string{err.Error()}
	case code == http.StatusOK:
		return nil
	case json.Unmarshal(body, &told) != nil || len(told.Reasons) == 0:
		return []string{fmt.Sprintf("/readyz answers %d", code)}
	}
	return told.Reasons
}

// direct follows no redirect: where it leads is for a person to know.
var direct = &http.Client{
	CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
}

// get returns the status and the beginning of the body.
func get(ctx context.Context, url string, timeout time.Duration) (code int, body []byte, err error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return 0, nil, err
	}
	res, err := direct.Do(req)
	if err != nil {
		return 0, nil, err
	}
	defer res.Body.Close()
	body, err = io.ReadAll(io.LimitReader(res.Body, 4<<10))
	return res.StatusCode, body, err
}
