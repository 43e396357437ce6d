//go:build unix

package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/maphash"
	"io"
	"math/rand/v2"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/anyframe-relay/relay/tools/proxytest"
)

const (
	// silence is the time without a byte after which a stream is closed. The relay
	// sends something at least every 15 s.
	silence = 20 * time.Second
	// postLimit is the timeout for the response to a message.
	postLimit = 40 * time.Second
)

// seed makes the hashes of this run comparable.
var seed = maphash.MakeSeed()

// seen is one numbered event that a visitor received, or must receive.
type seen struct {
	epoch, seq int64
	words      uint64 // hash of its kind and text
}

func newSeen(epoch, seq int64, kind, text string) seen {
	return seen{epoch, seq, maphash.String(seed, kind+"\x00"+text)}
}

// visitor has tabs, sends turns, and behaves like a browser.
type visitor struct {
	n      int
	base   string         // of the site's routes
	fronts []*http.Client // with their URLs; each has its own connection
	urls   []string
	token  string
	tabs   []*tab
	head   atomic.Int64 // the last seq that any tab has seen
	turns  []string     // texts that were accepted, in order
	never  []string     // texts of turns that were stopped before they were sent
	rated  map[string]string

	mu    sync.Mutex
	took  []time.Duration // until a turn was accepted
	again int             // retries
}

func newVisitor(n, tabs int, proxies []*proxytest.Proxy) *visitor {
	v := &visitor{n: n, rated: map[string]string{}}
	if n%2 == 1 {
		v.base = "/s/" + secondSite
	}
	for _, p := range proxies {
		// As in browsers, all tabs share a connection to each front.
		v.fronts = append(v.fronts, &http.Client{Transport: p.Transport("127.0.0.1")})
		v.urls = append(v.urls, p.URL)
	}
	for i := range tabs {
		v.tabs = append(v.tabs, &tab{visitor: v, front: i % len(proxies)})
	}
	return v
}

func (v *visitor) close() {
	for _, c := range v.fronts {
		c.CloseIdleConnections()
	}
}

// ask makes a request through one of the fronts.
func (v *visitor) ask(ctx context.Context, front int, method, path, body string, header map[string]string) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, method, v.urls[front]+v.base+path, strings.NewReader(body))
	if err != nil {
		return nil, err
	}
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	if v.token != "" {
		req.Header.Set("Authorization", "Bearer "+v.token)
	}
	for name, value := range header {
		if value != "" {
			req.Header.Set(name, value)
		}
	}
	return v.fronts[front].Do(req)
}

// refusal is a response with another status than wanted.
type refusal struct {
	status int
	body   string
	wait   time.Duration
}

func (r *refusal) Error() string { return fmt.Sprintf("%d %s", r.status, r.body) }

// passes reports whether a retry may succeed.
func passes(err error) bool {
	r, ok := errors.AsType[*refusal](err)
	return !ok || r.status >= 500 || r.status == http.StatusTooManyRequests
}

// pause waits for the refusal's Retry-After, or a moment.
func pause(ctx context.Context, err error) {
	wait := jitter(200*time.Millisecond, time.Second)
	if r, ok := errors.AsType[*refusal](err); ok && r.wait > 0 {
		wait = r.wait + jitter(0, 500*time.Millisecond)
	}
	rest(ctx, min(wait, 5*time.Second))
}

// jitter returns a random time between the two.
func jitter(from, to time.Duration) time.Duration {
	return from + rand.N(to-from) //nolint:gosec // reconnect times need no secrecy
}

func rest(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// post retries until the response has the wanted status.
func (v *visitor) post(ctx context.Context, path, body, key string, want int) ([]byte, error) {
	start := time.Now()
	for try := 0; ; try++ {
		text, err := v.postOnce(ctx, (v.n+try+len(v.turns))%len(v.fronts), path, body, key, want)
		if err == nil {
			v.mu.Lock()
			v.took, v.again = append(v.took, time.Since(start)), v.again+try
			v.mu.Unlock()
			return text, nil
		}
		if ctx.Err() != nil || !passes(err) {
			return nil, fmt.Errorf("visitor %d: %s: %w", v.n, path, err)
		}
		pause(ctx, err)
	}
}

func (v *visitor) postOnce(ctx context.Context, front int, path, body, key string, want int) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, postLimit)
	defer cancel()
	res, err := v.ask(ctx, front, http.MethodPost, path, body, map[string]string{"Idempotency-Key": key})
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err == nil && res.StatusCode != want {
		err = refused(res, text)
	}
	return text, err
}

func refused(res *http.Response, text []byte) error {
	seconds, _ := strconv.Atoi(res.Header.Get("Retry-After"))
	return &refusal{res.StatusCode, strings.TrimSpace(string(text)), time.Duration(seconds) * time.Second}
}

// introduce gets the visitor a token.
func (v *visitor) introduce(ctx context.Context) error {
	text, err := v.post(ctx, "/v1/visitor", `{"carrier":"bearer"}`, "", http.StatusOK)
	if err != nil {
		return err
	}
	var out struct{ Token string }
	if err := json.Unmarshal(text, &out); err != nil || out.Token == "" {
		return fmt.Errorf("visitor %d: got %s, want a token", v.n, text)
	}
	v.token = out.Token
	return nil
}

// talk sends turns until stop is closed, and retries the last one until it is
// accepted.
func (v *visitor) talk(ctx context.Context, stop <-chan struct{}) error {
	for i := 0; ; i++ {
		text := fmt.Sprintf("visitor %d turn %d", v.n, i)
		body, err := json.Marshal(map[string]string{"text": text})
		if err != nil {
			return err
		}
		if _, err = v.post(ctx, "/v1/messages", string(body), fmt.Sprint("turn-", i), http.StatusAccepted); err != nil {
			return err
		}
		v.turns = append(v.turns, text)
		if i%2 == 1 {
			if err := v.rate(ctx, fmt.Sprint("turn-", rand.N(i+1))); err != nil { //nolint:gosec // which is no secret
				return err
			}
		}
		if i%4 == 3 {
			if err := v.stop(ctx, i); err != nil {
				return err
			}
		}
		select {
		case <-stop:
			return nil
		case <-time.After(jitter(time.Second, 5*time.Second)):
		}
	}
}

// tab is one event stream that is reopened whenever it ends.
type tab struct {
	visitor *visitor
	front   int
	last    string // the last event id

	mu       sync.Mutex
	got      []seen
	repeated int
	resets   int
	breaks   int
	fatal    error
	catchUps []time.Duration // from the end of a stream until nothing was missing

	broke  time.Time // when the stream ended; zero while it is open and complete
	target int64     // the last seq of any other tab at that time
}

// run keeps the stream open until ctx ends, or the tab is refused permanently.
func (t *tab) run(ctx context.Context) {
	for ctx.Err() == nil {
		err := t.stream(ctx)
		t.mu.Lock()
		if t.broke.IsZero() {
			t.breaks++
			t.broke, t.target = time.Now(), t.visitor.head.Load()
		}
		if !passes(err) {
			t.fatal = err
			t.mu.Unlock()
			return
		}
		t.mu.Unlock()
		pause(ctx, err)
	}
}

// stream reads one stream to its end.
func (t *tab) stream(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	watchdog := time.AfterFunc(silence, cancel)
	defer watchdog.Stop()
	res, err := t.visitor.ask(ctx, t.front, http.MethodGet, "/v1/events", "", map[string]string{"Last-Event-ID": t.last})
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(io.LimitReader(res.Body, 4096))
		return refused(res, text)
	}
	lines := bufio.NewReader(res.Body)
	var id, kind, data string
	for {
		line, err := lines.ReadString('\n')
		if err != nil {
			return err // an incomplete frame does not count
		}
		watchdog.Reset(silence)
		line = strings.TrimSuffix(line, "\n")
		field, value, _ := strings.Cut(line, ":")
		value = strings.TrimPrefix(value, " ")
		switch {
		case line == "":
			if err := t.take(id, kind, data); err != nil {
				return err
			}
			id, kind, data = "", "", ""
		case field == "id":
			id = value
		case field == "event":
			kind = value
		case field == "data":
			data += value
		}
	}
}

// seen returns the number of numbered events in the tab.
func (t *tab) seen() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.got)
}

// saw records the seq of an event that one of the tabs has received.
func (v *visitor) saw(seq int64) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.head.Store(max(v.head.Load(), seq))
}

// take processes one event, or the end of a comment if all three are empty.
func (t *tab) take(id, kind, data string) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	switch {
	case kind == "reset":
		t.resets++
		t.got, t.last = nil, ""
	case kind == "problem" && strings.Contains(data, `"fatal":true`):
		return &refusal{http.StatusUnauthorized, data, 0}
	case id != "":
		epoch, seq, ok := strings.Cut(id, "-")
		e, err1 := strconv.ParseInt(epoch, 10, 64)
		n, err2 := strconv.ParseInt(seq, 10, 64)
		if !ok || err1 != nil || err2 != nil {
			return fmt.Errorf("event id %q", id)
		}
		if last := len(t.got) - 1; last >= 0 && (e < t.got[last].epoch || e == t.got[last].epoch && n <= t.got[last].seq) {
			t.repeated++
		}
		var d struct{ Text, Reason string }
		_ = json.Unmarshal([]byte(data), &d) // the text is different then, which is detected
		t.got = append(t.got, newSeen(e, n, kind, d.Text+d.Reason))
		t.last = id
		t.visitor.saw(n)
	}
	if last := len(t.got) - 1; !t.broke.IsZero() && (t.target == 0 || last >= 0 && t.got[last].seq >= t.target) {
		t.catchUps = append(t.catchUps, time.Since(t.broke))
		t.broke = time.Time{}
	}
	return nil
}
