package upstream

import (
	"context"
	"io"
	"net/http"
	"strings"
	"time"
)

// askTimeout is the timeout of GET /api/me when a call depends on it.
const askTimeout = 5 * time.Second

// keyState is what GET /api/me reveals about the key.
type keyState int

const (
	keyUnknown keyState = iota // no conclusive response
	keyGood
	keyRefused
)

// question is one call of GET /api/me, shared by all callers that need it at that time.
type question struct {
	done   chan struct{} // closed when answer is set
	answer keyState
}

func refusesKey(status int) bool {
	return status == http.StatusUnauthorized || status == http.StatusForbidden
}

func stateOf(status int) keyState {
	switch {
	case refusesKey(status):
		return keyRefused
	case status < http.StatusBadRequest:
		return keyGood
	}
	return keyUnknown
}

// ask calls GET /api/me with r's credentials, or waits for such a call in progress.
func (g *Guard) ask(next http.RoundTripper, r *http.Request) keyState {
	g.mu.Lock()
	q := g.asking
	if q != nil {
		g.mu.Unlock()
		select {
		case <-q.done:
			return q.answer
		case <-r.Context().Done():
			return keyUnknown
		}
	}
	q = &question{done: make(chan struct{})}
	g.asking = q
	g.mu.Unlock()
	defer func() {
		g.mu.Lock()
		g.asking = nil
		g.mu.Unlock()
		close(q.done)
	}()
	q.answer = g.me(next, r)
	return q.answer
}

// me calls GET /api/me with r's credentials. It does not end with r, because others also
// wait for it.
func (g *Guard) me(next http.RoundTripper, r *http.Request) keyState {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), askTimeout)
	defer cancel()
	base, _, _ := strings.Cut(r.URL.Path, "/api/")
	req := r.Clone(ctx)
	req.Method, req.Body, req.GetBody, req.ContentLength = http.MethodGet, nil, nil, 0
	req.URL.Path, req.URL.RawPath, req.URL.RawQuery = base+"/api/"+opMe, "", ""
	req.Header = http.Header{"Accept": {"application/json"}}
	for _, name := range []string{"Authorization", "User-Agent"} {
		req.Header[name] = r.Header[name]
	}
	res, _, err := g.send(next, req, opMe)
	if err != nil {
		return keyUnknown
	}
	defer res.Body.Close()
	_, _ = io.CopyN(io.Discard, res.Body, 64<<10) // so that the connection can be reused
	return stateOf(res.StatusCode)
}

// noteKey derives the state of the key from a response to GET /api/me, and logs a change
// once.
func (g *Guard) noteKey(status int) {
	switch stateOf(status) {
	case keyUnknown:
	case keyGood:
		if g.refused.Swap(false) {
			g.log.Info("AnyFrame accepts the key again")
			g.changed()
		}
	case keyRefused:
		if !g.refused.Swap(true) {
			g.log.Error("AnyFrame rejects the key; check ANYFRAME_API_KEY", "status", status)
			g.changed()
		}
	}
}
