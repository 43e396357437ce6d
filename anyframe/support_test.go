package anyframe

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
)

// A key whose shape no text in the tests has by chance.
const testKey = "afm_Zq7secretwxyz"

// roundTripper adapts a function to http.RoundTripper.
type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// isolate isolates the test from the environment and any .env file.
func isolate(t *testing.T) {
	t.Helper()
	t.Chdir(t.TempDir())
	for _, name := range []string{envKey, envKeyOld, envBaseURL, envLogLevel} {
		t.Setenv(name, "")
	}
}

// newClient returns a client that needs no environment.
func newClient(t *testing.T, opts ...Option) *Client {
	t.Helper()
	c, err := New(append([]Option{WithDotEnv(""), WithAPIKey(testKey), WithBaseURL("http://localhost")}, opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// newServer returns a client of h behind a real socket.
func newServer(t *testing.T, h http.HandlerFunc, opts ...Option) *Client {
	t.Helper()
	srv := httptest.NewServer(h)
	t.Cleanup(srv.Close)
	transport := DefaultTransport()
	t.Cleanup(transport.CloseIdleConnections)
	hc := &http.Client{Transport: transport}
	return newClient(t, append([]Option{WithBaseURL(srv.URL), WithHTTPClient(hc)}, opts...)...)
}

// script is a transport that responds from memory, in order; the last step answers
// all further requests. It records the requests.
type script struct {
	steps []func(*http.Request) (*http.Response, error)

	mu       sync.Mutex // held for reads and appends
	requests []*http.Request
}

func (s *script) RoundTrip(r *http.Request) (*http.Response, error) {
	s.mu.Lock()
	step := s.steps[min(len(s.requests), len(s.steps)-1)]
	s.requests = append(s.requests, r)
	s.mu.Unlock()
	if r.Body != nil {
		if _, err := io.Copy(io.Discard, r.Body); err != nil {
			return nil, err
		}
	}
	return step(r)
}

func (s *script) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.requests)
}

func newScript(steps ...func(*http.Request) (*http.Response, error)) *script {
	return &script{steps: steps}
}

// reply answers with a status, a body and header pairs.
func reply(status int, body string, header ...string) func(*http.Request) (*http.Response, error) {
	return func(r *http.Request) (*http.Response, error) {
		return response(r, status, io.NopCloser(strings.NewReader(body)), header...), nil
	}
}

func response(r *http.Request, status int, body io.ReadCloser, header ...string) *http.Response {
	h := http.Header{}
	for i := 0; i < len(header); i += 2 {
		h.Set(header[i], header[i+1])
	}
	return &http.Response{
		StatusCode: status, Header: h, Body: body, Request: r, ProtoMajor: 1, ProtoMinor: 1, ContentLength: -1,
	}
}

// fail answers with an error and no response.
func fail(err error) func(*http.Request) (*http.Response, error) {
	return func(*http.Request) (*http.Response, error) { return nil, err }
}

// hang does not respond until the request is canceled.
func hang(r *http.Request) (*http.Response, error) {
	<-r.Context().Done()
	return nil, r.Context().Err()
}

// events responds with a stream that sends text and then ends.
func events(text string) func(*http.Request) (*http.Response, error) {
	return reply(http.StatusOK, text, "Content-Type", "text/event-stream")
}

// live responds with a stream that feed writes. It ends when feed returns, with
// feed's error, or when the request is canceled.
func live(feed func(context.Context, io.Writer) error) func(*http.Request) (*http.Response, error) {
	return func(r *http.Request) (*http.Response, error) {
		pr, pw := io.Pipe()
		stop := context.AfterFunc(r.Context(), func() { pw.CloseWithError(r.Context().Err()) })
		go func() {
			defer stop()
			pw.CloseWithError(feed(r.Context(), pw))
		}()
		return response(r, http.StatusOK, pr, "Content-Type", "text/event-stream; charset=utf-8"), nil
	}
}
