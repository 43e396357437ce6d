package doctor

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/anyframe-relay/relay/cmd/relay/internal/probe"
)

// public checks the relay at its public URL: that it is reachable, that it accepts
// requests of its own pages, and that the proxy in front of it does not delay events.
func (d *doctor) public(ctx context.Context) {
	base := strings.TrimSuffix(d.config.PublicURL, "/")
	if base == "" {
		d.unchecked("public URL", "RELAY_PUBLIC_URL is not set")
		d.unchecked("events", "RELAY_PUBLIC_URL is not set, so a proxy that buffers events cannot be detected")
		return
	}
	u, err := url.Parse(base)
	if err != nil || u.Host == "" {
		d.unchecked("public URL", "RELAY_PUBLIC_URL is not a URL")
		d.unchecked("events", "RELAY_PUBLIC_URL is not a URL")
		return
	}
	if !d.reachable(ctx, base, u) {
		d.unchecked("events", "the relay was not reached at its public URL")
		return
	}
	token, ok := d.visit(ctx, base, u.Scheme+"://"+u.Host)
	if !ok {
		d.unchecked("events", "no stream can be opened without a visitor token")
		return
	}
	if d.config.TrustedProxies.Prefixes == nil {
		d.ok("public URL", "the relay responds; RELAY_TRUSTED_PROXIES is not set, so behind a proxy all visitors share one address")
	} else {
		d.ok("public URL", "the relay responds")
	}
	d.events(ctx, base, token)
	_, _, _ = d.call(ctx, http.MethodDelete, base+"/v1/visitor", "", token)
}

// reachable checks that the relay responds at base and is ready.
func (d *doctor) reachable(ctx context.Context, base string, u *url.URL) bool {
	const check = "public URL"
	code, body, err := probe.Get(ctx, base+"/healthz", d.patience)
	switch {
	case err != nil:
		d.finding(check, "make sure that the relay is running, and check DNS, the certificate and the proxy", "the relay cannot be reached: %v", err)
	case code >= 300 && code < 400:
		d.finding(check, "set RELAY_PUBLIC_URL to the URL that browsers are redirected to", "%s redirects with status %d", base, code)
	case code != http.StatusOK || string(body) != "ok\n":
		do := "configure the proxy to forward all requests to the relay"
		if u.Path != "" {
			do = fmt.Sprintf("configure the proxy to forward %s/ without changing the path, and set RELAY_BASE_PATH=%s", u.Path, u.Path)
		}
		d.finding(check, do, "%s/healthz returned status %d, not the relay's response", base, code)
	default:
		if reasons := probe.Unready(ctx, base, d.patience); len(reasons) > 0 {
			d.finding("ready", "see the other findings, or the relay's log", "the relay is not ready: %s", strings.Join(reasons, "; "))
		}
		return true
	}
	return false
}

// visit gets a visitor token, as a page of the relay's own origin does.
func (d *doctor) visit(ctx context.Context, base, origin string) (token string, ok bool) {
	const check = "public URL"
	code, out, err := d.call(ctx, http.MethodPost, base+"/v1/visitor", origin, "")
	switch {
	case err != nil:
		d.finding(check, "make sure that the proxy forwards POST requests", "cannot get a visitor token: %v", err)
	case out.Code == "origin_not_allowed":
		d.finding(check, "configure the proxy to forward the Host header, or start the relay with the same RELAY_PUBLIC_URL", "the relay does not accept %s as its own origin", origin)
	case out.Code == "rate_limited":
		d.unchecked(check, "the relay rate-limits this machine's address; run relay doctor again later")
	case code != http.StatusOK || out.Token == "":
		d.finding(check, "make sure that the proxy forwards POST requests, and see the relay's log", "cannot get a visitor token: the response is %d %s", code, out.Code)
	default:
		return out.Token, true
	}
	return "", false
}

// told holds the members of a response that doctor reads.
type told struct{ Token, Code string }

// call makes a request with this Origin header and this visitor token, if not empty.
func (d *doctor) call(ctx context.Context, method, url, origin, token string) (code int, out told, err error) {
	ctx, cancel := context.WithTimeout(ctx, d.patience)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, url, nil)
	if err != nil {
		return 0, out, err
	}
	if method == http.MethodPost {
		req, err = http.NewRequestWithContext(ctx, method, url, strings.NewReader(`{"carrier":"bearer"}`))
		if err != nil {
			return 0, out, err
		}
		req.Header.Set("Content-Type", "application/json")
	}
	if origin != "" {
		req.Header.Set("Origin", origin)
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	res, err := probe.Client.Do(req)
	if err != nil {
		return 0, out, err
	}
	defer res.Body.Close()
	_ = json.NewDecoder(res.Body).Decode(&out) // without JSON, the status is enough
	return res.StatusCode, out, nil
}

// events opens a stream as a browser does. The relay writes the first bytes of a stream
// immediately. If they do not arrive in time, a proxy buffers them, and would also buffer
// the agent's answers.
func (d *doctor) events(ctx context.Context, base, token string) {
	const (
		check   = "events"
		unblock = "turn off buffering and compression for /v1/events: proxy_buffering off and gzip off in nginx, no encode for that path in Caddy; a CDN may need a bypass rule"
	)
	ctx, cancel := context.WithTimeout(ctx, d.patience)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, base+"/v1/events", nil)
	if err != nil {
		d.unchecked(check, "%v", err)
		return
	}
	req.Header.Set("Authorization", "Bearer "+token)
	req.Header.Set("Accept", "text/event-stream")
	req.Header.Set("Accept-Encoding", "gzip, br, zstd") // as browsers send it, to detect a proxy that compresses
	start := time.Now()
	res, err := probe.Client.Do(req)
	if err != nil && ctx.Err() != nil {
		d.finding(check, unblock, "a proxy buffers events: no response header arrived within %s", d.patience)
		return
	}
	if err != nil {
		d.finding(check, "see the proxy's log", "the stream cannot be opened: %v", err)
		return
	}
	defer res.Body.Close()
	kind, coding := res.Header.Get("Content-Type"), res.Header.Get("Content-Encoding")
	switch {
	case res.StatusCode != http.StatusOK:
		d.finding(check, "see the logs of the proxy and the relay; the proxy must forward Authorization", "opening the stream returned status %d", res.StatusCode)
		return
	case !strings.HasPrefix(kind, "text/event-stream"):
		d.finding(check, unblock, "a proxy changes the stream's Content-Type to %q", kind)
		return
	case coding != "":
		d.finding(check, unblock, "a proxy compresses the stream (%s), which delays events", coding)
		return
	}
	switch _, err := bufio.NewReader(res.Body).ReadString('\n'); {
	case err != nil && ctx.Err() != nil:
		d.finding(check, unblock, "a proxy buffers events: the stream opened, but its first bytes did not arrive within %s", d.patience)
		return
	case err != nil:
		d.finding(check, "see the logs of the proxy and the relay", "the stream ended before its first bytes: %v", err)
		return
	}
	d.ok(check, "not delayed: the first bytes arrived after %s", time.Since(start).Round(100*time.Microsecond))
}
