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

// public checks the relay as browsers find it: whether it is there, takes its
// own pages for its own, and whether events pass what is in front of it.
func (d *doctor) public(ctx context.Context) {
	base := strings.TrimSuffix(d.config.PublicURL, "/")
	if base == "" {
		d.unchecked("public URL", "RELAY_PUBLIC_URL is not set, so doctor does not know how browsers reach the relay")
		d.unchecked("events", "whether a proxy holds them back: RELAY_PUBLIC_URL is not set")
		return
	}
	u, err := url.Parse(base)
	if err != nil || u.Host == "" {
		d.unchecked("public URL", "RELAY_PUBLIC_URL is no URL")
		d.unchecked("events", "RELAY_PUBLIC_URL is no URL")
		return
	}
	if !d.reachable(ctx, base, u) {
		d.unchecked("events", "the relay is not reached at its public URL")
		return
	}
	token, ok := d.visit(ctx, base, u.Scheme+"://"+u.Host)
	if !ok {
		d.unchecked("events", "without a visitor there is no stream")
		return
	}
	if d.config.TrustedProxies.Prefixes == nil {
		d.ok("public URL", "the relay answers there; RELAY_TRUSTED_PROXIES is not set, so behind a proxy all visitors count as one address")
	} else {
		d.ok("public URL", "the relay answers there")
	}
	d.events(ctx, base, token)
	_, _, _ = d.call(ctx, http.MethodDelete, base+"/v1/visitor", "", token)
}

// reachable checks that the relay answers at base, and that it is ready.
func (d *doctor) reachable(ctx context.Context, base string, u *url.URL) bool {
	const check = "public URL"
	code, body, err := probe.Get(ctx, base+"/healthz", d.patience)
	switch {
	case err != nil:
		d.finding(check, "see that the relay runs, and that the name, the certificate and the proxy lead to it", "it cannot be reached: %v", err)
	case code >= 300 && code < 400:
		d.finding(check, "set RELAY_PUBLIC_URL to the address that browsers end up at", "%s leads elsewhere: it answers %d", base, code)
	case code != http.StatusOK || string(body) != "ok\n":
		do := "let the proxy pass everything to the relay"
		if u.Path != "" {
			do = fmt.Sprintf("let the proxy pass %s/ on with its path, and set RELAY_BASE_PATH=%s", u.Path, u.Path)
		}
		d.finding(check, do, "%s/healthz answers %d, and not as the relay does", base, code)
	default:
		if reasons := probe.Unready(ctx, base, d.patience); len(reasons) > 0 {
			d.finding("ready", "see the other findings, or the relay's log", "the relay there is not ready: %s", strings.Join(reasons, "; "))
		}
		return true
	}
	return false
}

// visit introduces a visitor from a page of the relay's own origin.
func (d *doctor) visit(ctx context.Context, base, origin string) (token string, ok bool) {
	const check = "public URL"
	code, out, err := d.call(ctx, http.MethodPost, base+"/v1/visitor", origin, "")
	switch {
	case err != nil:
		d.finding(check, "see that the proxy passes POST on", "a visitor cannot be introduced: %v", err)
	case out.Code == "origin_not_allowed":
		d.finding(check, "let the proxy pass Host on, or start the relay with the same RELAY_PUBLIC_URL", "the relay takes pages of %s for another website's", origin)
	case out.Code == "rate_limited":
		d.unchecked(check, "this machine has asked too often; try again later")
	case code != http.StatusOK || out.Token == "":
		d.finding(check, "see that the proxy passes POST on, and the relay's log", "a visitor cannot be introduced: the answer is %d %s", code, out.Code)
	default:
		return out.Token, true
	}
	return "", false
}

// told is what is read of an answer.
type told struct{ Token, Code string }

// call makes a request as a page of this origin, or a visitor with this token.
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
	_ = json.NewDecoder(res.Body).Decode(&out) // the status says enough of what is no JSON
	return res.StatusCode, out, nil
}

// events opens a stream as a browser does. The relay writes its first bytes at
// once and then waits: what has not come in time is held back on the way, and
// so would be everything that the agent says.
func (d *doctor) events(ctx context.Context, base, token string) {
	const (
		check   = "events"
		unblock = "turn buffering and compression off for the relay's /v1/events: proxy_buffering off and gzip off in nginx, flush_interval -1 in Caddy; a CDN may need a rule that bypasses it"
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
	req.Header.Set("Accept-Encoding", "gzip, br, zstd") // as browsers say, to see what a proxy makes of it
	start := time.Now()
	res, err := probe.Client.Do(req)
	if err != nil && ctx.Err() != nil {
		d.finding(check, unblock, "a proxy holds them back: not even the answer's head came within %s", d.patience)
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
		d.finding(check, "see the proxy's log and the relay's; a proxy must pass Authorization on", "the stream is answered %d", res.StatusCode)
		return
	case !strings.HasPrefix(kind, "text/event-stream"):
		d.finding(check, unblock, "a proxy makes %q of the stream", kind)
		return
	case coding != "":
		d.finding(check, unblock, "a proxy compresses the stream (%s), which holds events back", coding)
		return
	}
	switch _, err := bufio.NewReader(res.Body).ReadString('\n'); {
	case err != nil && ctx.Err() != nil:
		d.finding(check, unblock, "a proxy holds them back: the stream opened, and its first bytes did not come within %s", d.patience)
		return
	case err != nil:
		d.finding(check, "see the proxy's log and the relay's", "the stream ended before its first bytes: %v", err)
		return
	}
	d.ok(check, "pass at once: the first bytes came after %s", time.Since(start).Round(100*time.Microsecond))
}
