package anyframe

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

var update = flag.Bool("update", false, "rewrite the golden files")

const sessionJSON = `{"id":"11111111-2222-3333-4444-555555555555","agent_id":7,"status":"running"}`

// record answers every request with body and records the requests, with the headers
// that the API's contract names and any other that was sent.
func record(t *testing.T, opts ...Option) (c *Client, asked func() string) {
	t.Helper()
	var b strings.Builder
	c = newServer(t, func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		fmt.Fprintf(&b, "%s %s\n", r.Method, r.RequestURI)
		for _, name := range slices.Sorted(mapKeys(r.Header)) {
			fmt.Fprintf(&b, "%s: %s\n", name, strings.Join(r.Header[name], " | "))
		}
		fmt.Fprintf(&b, "%s\n\n", body)
		switch {
		case strings.HasSuffix(r.URL.Path, "/events"):
			w.Header().Set("Content-Type", "text/event-stream")
		case strings.HasSuffix(r.URL.Path, "/transcript"):
			fmt.Fprint(w, `[]`)
		case strings.HasSuffix(r.URL.Path, "/message"), strings.HasSuffix(r.URL.Path, "/respond"):
			fmt.Fprint(w, `{"ok":true,"seq":12}`)
		case r.URL.Path == "/api/me":
			fmt.Fprint(w, `{"id":1,"login":"ann"}`)
		default:
			fmt.Fprint(w, sessionJSON)
		}
	}, opts...)
	return c, func() string { // every request is over when its call has returned
		s := b.String()
		b.Reset()
		return s
	}
}

func mapKeys(h http.Header) func(func(string) bool) {
	return func(yield func(string) bool) {
		for name := range h {
			if !yield(name) {
				return
			}
		}
	}
}

func TestOperations_EachMethod_RequestMatchesContract(t *testing.T) {
	c, asked := record(t)
	ctx, s, id := t.Context(), c.Sessions, "11111111-2222-3333-4444-555555555555"
	message := Message{Prompt: "<hi> & ü", Attachments: []Attachment{
		{Kind: AttachmentImage, Name: "a.png", MIME: "image/png", Data: []byte{0xfb, 0xff}},
		{Kind: AttachmentImage, Name: "empty.png", MIME: "image/png"},
		{Kind: AttachmentText, Name: "b.txt", MIME: "text/plain", Text: ""},
	}}
	operations := []struct {
		name string
		call func() error
	}{
		{"me", func() error { _, err := c.Me(ctx); return err }},
		{"create", func() error { _, err := s.Create(ctx, CreateSessionParams{AgentID: 7}); return err }},
		{"create with everything", func() error {
			_, err := s.Create(ctx, CreateSessionParams{
				AgentID: 7, IdleTimeout: new(1500 * time.Millisecond), Unsafe: true, ResumeFromSnapshotID: new(int64(9)), IsSetupSession: true,
			})
			return err
		}},
		{"get", func() error { _, err := s.Get(ctx, id); return err }},
		{"resume", func() error { _, err := s.Resume(ctx, id, ResumeSessionParams{}); return err }},
		{"terminate", func() error { _, err := s.Terminate(ctx, id); return err }},
		{"message", func() error { _, err := s.Message(ctx, id, Message{Prompt: "hi"}); return err }},
		{"message with attachments", func() error { _, err := s.Message(ctx, id, message); return err }},
		{"message raw", func() error {
			_, err := s.MessageRaw(ctx, id, map[string]any{"text": "hi", "extra": nil})
			return err
		}},
		{"respond", func() error {
			_, err := s.Respond(ctx, id, json.RawMessage(`{"prompt_id":"p","answer":null}`))
			return err
		}},
		{"respond with null", func() error { _, err := s.Respond(ctx, id, nil); return err }},
		{"transcript", func() error { _, err := s.Transcript(ctx, id, 0, 0); return err }},
		{"transcript since", func() error { _, err := s.Transcript(ctx, id, 41, 10); return err }},
		{"events", func() error { return firstError(s.Events(ctx, id, StreamOptions{})) }},
		{"events after", func() error { return firstError(s.Events(ctx, id, StreamOptions{LastEventID: "41"})) }},
		{"an id with odd letters", func() error { _, err := s.Get(ctx, "a.b:c@d=e+f&g"); return err }},
	}
	var got strings.Builder
	for _, o := range operations {
		if err := o.call(); err != nil {
			t.Errorf("%s: %v", o.name, err)
		}
		fmt.Fprintf(&got, "# %s\n%s", o.name, asked())
	}
	const golden = "testdata/requests.golden"
	if *update {
		if err := os.WriteFile(golden, []byte(got.String()), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if got.String() != string(want) {
		t.Errorf("got\n%s\nwant\n%s", got.String(), want)
	}
}

// firstError returns the first error of a stream.
func firstError(seq func(func(Event, error) bool)) error {
	for _, err := range seq {
		return err
	}
	return nil
}

func TestUserAgent_Product_First(t *testing.T) {
	c, asked := record(t, WithUserAgent("shop/1.2 (x)"))
	if _, err := c.Me(t.Context()); err != nil {
		t.Fatal(err)
	}
	if want := "User-Agent: shop/1.2 (x) anyframe-go/" + Version + "\n"; !strings.Contains(asked(), want) {
		t.Errorf("got another, want %s", want)
	}
}

func TestIDs_Empty_RefusedBeforeRequest(t *testing.T) {
	transport := newScript(reply(200, sessionJSON))
	c := newClient(t, WithHTTPClient(&http.Client{Transport: transport}))
	ctx, s := t.Context(), c.Sessions
	for _, id := range []string{"", " ", "\t\n"} {
		_, get := s.Get(ctx, id)
		_, resume := s.Resume(ctx, id, ResumeSessionParams{})
		_, terminate := s.Terminate(ctx, id)
		_, message := s.Message(ctx, id, Message{Prompt: "x"})
		_, raw := s.MessageRaw(ctx, id, nil)
		_, respond := s.Respond(ctx, id, nil)
		_, transcript := s.Transcript(ctx, id, 0, 0)
		_, wait := s.WaitUntilRunning(ctx, id, WaitOptions{})
		_, ensure := s.EnsureRunning(ctx, id, WaitOptions{})
		var all error
		for _, err := range s.TranscriptAll(ctx, id, 0) {
			all = err
		}
		for i, err := range []error{
			get, resume, terminate, message, raw, respond, transcript, wait, ensure, all,
			firstError(s.Events(ctx, id, StreamOptions{})), firstError(s.Follow(ctx, id, StreamOptions{})),
			firstError(s.Events(ctx, "x", StreamOptions{LastEventID: "1\n2"})),
		} {
			if e, ok := errors.AsType[*Error](err); !ok || !errors.Is(err, ErrInvalid) || e.Sent() {
				t.Errorf("%q, call %d: got %v, want ErrInvalid and not sent", id, i, err)
			}
		}
	}
	if n := transport.count(); n != 0 {
		t.Errorf("got %d requests, want none", n)
	}
}

func TestBody_NotJSON_RefusedBeforeRequest(t *testing.T) {
	transport := newScript(reply(200, "{}"))
	c := newClient(t, WithHTTPClient(&http.Client{Transport: transport}))
	_, err := c.Sessions.MessageRaw(t.Context(), "x", func() {})
	if e, ok := errors.AsType[*Error](err); !ok || !errors.Is(err, ErrInvalid) || e.Sent() || transport.count() != 0 {
		t.Errorf("got %v after %d requests, want ErrInvalid, not sent", err, transport.count())
	}
}

func TestCall_Redirect_NotFollowed(t *testing.T) {
	hits := 0
	c := newServer(t, func(w http.ResponseWriter, r *http.Request) {
		hits++
		http.Redirect(w, r, "/elsewhere", http.StatusFound)
	})
	_, err := c.Sessions.Message(t.Context(), "x", Message{Prompt: "hi"})
	e, ok := errors.AsType[*Error](err)
	if !ok || e.StatusCode != http.StatusFound || hits != 1 || !e.Sent() {
		t.Errorf("got %v after %d requests, want one 302 that counts as sent", err, hits)
	}
	if err := firstError(c.Sessions.Events(t.Context(), "x", StreamOptions{})); err == nil || hits != 2 {
		t.Errorf("stream: got %v after %d requests, want a 302", err, hits)
	}
}

func TestResponse_UnusualJSON_Decoded(t *testing.T) {
	c := newServer(t, func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusAccepted)
		fmt.Fprint(w, ` {"id":"s1","agent_id":7,"status":"hibernating","sandbox_url":null,"new_member":[1],
			"created_at":"2025-01-01T00:00:00.123456","last_active":"soon","previews":
			[{"port":80,"status":"odd","started_at":1735689600.5,"exit_code":0,"url":null}]} `)
	})
	s, err := c.Sessions.Get(t.Context(), "s1")
	if err != nil {
		t.Fatal(err)
	}
	if s.Status != "hibernating" || s.Status.Known() || s.Status.Resumable() {
		t.Errorf("status: got %q, want it passed through and unknown", s.Status)
	}
	if got, want := s.CreatedAt.Time, time.Date(2025, 1, 1, 0, 0, 0, 123456000, time.UTC); !got.Equal(want) {
		t.Errorf("created at: got %v, want %v", got, want)
	}
	if !s.LastActive.IsZero() {
		t.Errorf("last active: got %v, want zero", s.LastActive)
	}
	p := s.Previews[0]
	if want := time.Date(2025, 1, 1, 0, 0, 0, 5e8, time.UTC); !p.StartedAt.Equal(want) || *p.ExitCode != 0 || p.Status.Known() {
		t.Errorf("preview: got %+v, want started at %v, exit code 0", p, want)
	}
}

func TestMessageResult_FreeJSON_Decoded(t *testing.T) {
	tests := []struct {
		status int
		body   string
		ok     bool
		seq    int64 // -1 for none
	}{
		{200, `{"ok":true,"seq":12}`, true, 12},
		{200, `{"seq":"12"}`, true, 12},
		{200, `{"ok":false}`, false, -1},
		{200, `{"ok":true,"seq":null}`, true, -1},
		{200, `{"ok":true,"seq":1.5}`, true, -1},
		{200, `"queued"`, true, -1},
		{200, ``, true, -1},
		{204, ``, true, -1},
	}
	for _, test := range tests {
		c := newClient(t, WithHTTPClient(&http.Client{Transport: newScript(reply(test.status, test.body))}))
		r, err := c.Sessions.Message(t.Context(), "x", Message{Prompt: "hi"})
		if err != nil {
			t.Errorf("%q: %v", test.body, err)
			continue
		}
		seq := int64(-1)
		if r.Seq != nil {
			seq = *r.Seq
		}
		if r.OK != test.ok || seq != test.seq || string(r.Raw) != test.body {
			t.Errorf("%q: got ok %v, seq %d, raw %s, want %v, %d", test.body, r.OK, seq, r.Raw, test.ok, test.seq)
		}
	}
}

func TestResponse_Unexpected2xx_Invalid(t *testing.T) {
	for _, body := range []string{"", "null", "<html>", `{"id":`, `[]`, `{}`} {
		c := newClient(t, WithHTTPClient(&http.Client{Transport: newScript(reply(200, body))}))
		_, err := c.Sessions.Create(t.Context(), CreateSessionParams{AgentID: 1})
		e, ok := errors.AsType[*Error](err)
		if !ok || !errors.Is(err, ErrInvalidResponse) || errors.Is(err, ErrTransport) || !e.Sent() || e.StatusCode != 200 {
			t.Errorf("%q: got %v, want ErrInvalidResponse, sent", body, err)
		}
	}
	c := newClient(t, WithHTTPClient(&http.Client{Transport: newScript(reply(200, "<html>"))}))
	if _, err := c.Sessions.MessageRaw(t.Context(), "x", nil); !errors.Is(err, ErrInvalidResponse) {
		t.Errorf("raw: got %v, want ErrInvalidResponse", err)
	}
}

// endless is a body that never ends.
type endless struct{}

func (endless) Read(p []byte) (int, error) {
	const spaces = "                                                                "
	for n := 0; n < len(p); {
		n += copy(p[n:], spaces)
	}
	return len(p), nil
}
func (endless) Close() error { return nil }

func TestResponse_LargeBody_Bounded(t *testing.T) {
	for _, status := range []int{200, 400} {
		c := newClient(t, WithHTTPClient(&http.Client{Transport: newScript(func(r *http.Request) (*http.Response, error) {
			return response(r, status, endless{}), nil
		})}))
		_, err := c.Me(t.Context())
		e, ok := errors.AsType[*Error](err)
		if !ok || e.StatusCode != status || len(e.Body) > maxErrorBody || errors.Is(err, ErrResponseTooLarge) != (status == 200) {
			t.Errorf("%d: got %v, want a bounded error", status, err)
		}
	}
}

func TestError_Body_InMessage(t *testing.T) {
	tests := []struct {
		body, message string
		fields        int
		detail        string
	}{
		{`{"detail":"no such agent"}`, "no such agent", 0, `"no such agent"`},
		{`{"detail":[{"loc":["body",0],"msg":"m","type":"t"},5]}`, "validation failed (2 issue(s))", 1, `[{"loc":["body",0],"msg":"m","type":"t"},5]`},
		{`{"detail":{"a":1}}`, `{"a":1}`, 0, `{"a":1}`},
		{`{"detail":null}`, "Unprocessable Entity", 0, ""},
		{`{"other":1}`, `{"other":1}`, 0, ""},
		{"<html>gateway</html>\n", "<html>gateway</html>", 0, ""},
		{"", "Unprocessable Entity", 0, ""},
		{strings.Repeat("x", 10_000), strings.Repeat("x", 500) + "…", 0, ""},
	}
	for _, test := range tests {
		c := newClient(t, WithHTTPClient(&http.Client{Transport: newScript(reply(422, test.body, "X-Request-Id", "r1"))}))
		_, err := c.Me(t.Context())
		e, ok := errors.AsType[*Error](err)
		if !ok || e.Message != test.message || len(e.Fields) != test.fields || string(e.Detail) != test.detail {
			t.Errorf("%.40q: got %q, %d fields, detail %s, want %q, %d, %s",
				test.body, e.Message, len(e.Fields), e.Detail, test.message, test.fields, test.detail)
		}
		if string(e.Body) != test.body || e.RequestID != "r1" || e.Attempts != 1 || e.Path != "/api/me" {
			t.Errorf("%.40q: got %+v, want body, request id, attempts, path", test.body, e)
		}
		if want := "anyframe: GET /api/me: [422] " + test.message; err.Error() != want {
			t.Errorf("got %q, want %q", err, want)
		}
	}
}

func TestError_ZeroValue_Works(t *testing.T) {
	e := &Error{}
	if e.Error() == "" || e.Unwrap() != nil || errors.Is(e, ErrServer) || !e.Sent() {
		t.Errorf("got %q, want some text, no cause, and the careful answer to Sent", e)
	}
	if (&SessionStateError{}).Error() == "" || (&WaitTimeoutError{}).Error() == "" {
		t.Error("got no text, want some")
	}
}

func TestSentinels_Status_Match(t *testing.T) {
	all := []error{
		ErrInvalid, ErrUnauthorized, ErrForbidden, ErrNotFound, ErrConflict, ErrRateLimited, ErrServer, ErrTransport,
		ErrInvalidResponse, ErrNotEventStream, ErrStreamEnded,
	}
	for status, want := range map[int]error{
		400: ErrInvalid, 422: ErrInvalid, 401: ErrUnauthorized, 403: ErrForbidden, 404: ErrNotFound, 409: ErrConflict,
		429: ErrRateLimited, 500: ErrServer, 502: ErrServer, 599: ErrServer, 418: nil, 302: nil,
	} {
		err := error(&Error{StatusCode: status})
		for _, sentinel := range all {
			if got := errors.Is(fmt.Errorf("wrapped: %w", err), sentinel); got != (want != nil && errors.Is(sentinel, want)) {
				t.Errorf("%d is %v: got %v, want %v", status, sentinel, got, !got)
			}
		}
	}
}

func TestCaptureResponse_SuccessAndFailure_Captured(t *testing.T) {
	c := newClient(t, WithHTTPClient(&http.Client{Transport: newScript(
		reply(200, sessionJSON, "X-Request-Id", "r1"), reply(404, "gone", "X-Request-Id", "r2"), fail(io.ErrUnexpectedEOF),
	)}), WithRetry(RetryPolicy{MaxRetries: -1}))
	var info ResponseInfo
	if _, err := c.Sessions.Get(t.Context(), "x", CaptureResponse(&info)); err != nil {
		t.Fatal(err)
	}
	if info.StatusCode != 200 || info.RequestID != "r1" || info.Attempts != 1 || string(info.Body) != sessionJSON {
		t.Errorf("got %+v, want the answer", info)
	}
	if _, err := c.Sessions.Get(t.Context(), "x", CaptureResponse(&info)); err == nil || info.StatusCode != 404 || string(info.Body) != "gone" {
		t.Errorf("got %+v, %v, want the refusal", info, err)
	}
	if _, err := c.Sessions.Get(t.Context(), "x", CaptureResponse(&info)); err == nil || info.StatusCode != 0 || info.Attempts != 1 {
		t.Errorf("got %+v, %v, want only the attempts", info, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for name, call := range map[string]func() error{
		"refused":        func() error { return value(c.Sessions.Get(ctx, "", CaptureResponse(&info))) },
		"canceled":       func() error { return value(c.Sessions.Get(ctx, "x", CaptureResponse(&info))) },
		"no JSON":        func() error { return c.Do(ctx, "POST", "/api/x", func() {}, nil, CaptureResponse(&info)) },
		"refused stream": func() error { return last(c.Sessions.Follow(ctx, "", StreamOptions{}, CaptureResponse(&info))) },
		"refused turn": func() error {
			return last(c.Sessions.Turn(ctx, "", Message{}, StreamOptions{}, CaptureResponse(&info)))
		},
		"canceled stream": func() error {
			return last(c.Sessions.Events(ctx, "x", StreamOptions{}, CaptureResponse(&info)))
		},
	} {
		info = ResponseInfo{StatusCode: 200, Body: []byte("earlier"), Attempts: 3, RequestID: "r1"}
		if err := call(); err == nil || !reflect.DeepEqual(info, ResponseInfo{}) {
			t.Errorf("%s: got %+v, %v, want nothing of an earlier call", name, info, err)
		}
	}
}

func TestMiddleware_EveryAttempt_FirstIsOutermost(t *testing.T) {
	var order []string
	mark := func(name string) func(http.RoundTripper) http.RoundTripper {
		return func(next http.RoundTripper) http.RoundTripper {
			return roundTripper(func(r *http.Request) (*http.Response, error) {
				order = append(order, name)
				return next.RoundTrip(r)
			})
		}
	}
	c := newClient(t, WithHTTPClient(&http.Client{Transport: newScript(reply(200, sessionJSON), events(""))}),
		WithMiddleware(mark("a"), mark("b")), WithMiddleware(mark("c")))
	if _, err := c.Sessions.Get(t.Context(), "x"); err != nil {
		t.Fatal(err)
	}
	if err := firstError(c.Sessions.Events(t.Context(), "x", StreamOptions{})); err != nil {
		t.Fatal(err)
	}
	if got, want := strings.Join(order, ""), "abcabc"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestWithHTTPClient_CallersClient_Unchanged(t *testing.T) {
	hc := &http.Client{Timeout: time.Minute}
	newClient(t, WithHTTPClient(hc))
	if hc.CheckRedirect != nil || hc.Transport != nil || hc.Timeout != time.Minute {
		t.Errorf("got %+v, want it untouched", hc)
	}
	if c := newClient(t); c.calls.Transport == http.DefaultTransport {
		t.Error("got the default transport, want one of our own")
	}
}

func TestCall_CanceledContext_NothingSent(t *testing.T) {
	transport := newScript(reply(200, sessionJSON))
	c := newClient(t, WithHTTPClient(&http.Client{Transport: transport}))
	why := errors.New("visitor left")
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(why)
	_, err := c.Sessions.Message(ctx, "x", Message{Prompt: "hi"})
	e, ok := errors.AsType[*Error](err)
	if !ok || e.Sent() || transport.count() != 0 || errors.Is(err, ErrTransport) {
		t.Errorf("got %v after %d requests, want nothing sent", err, transport.count())
	}
	if !errors.Is(err, context.Canceled) || !errors.Is(err, why) {
		t.Errorf("got %v, want both Canceled and its cause", err)
	}
}

func TestCloseIdleConnections_Middleware_ReachesTransport(t *testing.T) {
	closed := make(chan struct{})
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, `{"id":1}`) }))
	srv.Config.ConnState = func(_ net.Conn, s http.ConnState) {
		if s == http.StateClosed {
			close(closed)
		}
	}
	srv.Start()
	defer srv.Close()
	c := newClient(t, WithBaseURL(srv.URL), WithMiddleware(func(next http.RoundTripper) http.RoundTripper {
		return roundTripper(next.RoundTrip)
	}))
	if _, err := c.Me(t.Context()); err != nil {
		t.Fatal(err)
	}
	c.CloseIdleConnections()
	<-closed
}
