package anyframe_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"time"

	"github.com/anyframe-relay/relay/anyframe"
)

// A newer API may have operations that this package has no method for.
func ExampleClient_Do() {
	ctx := context.Background()
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Println(r.Method, r.URL)
		fmt.Fprint(w, `{"balance": 12.5}`)
	}))
	defer srv.Close()
	client, err := anyframe.New(anyframe.WithAPIKey("afm_example"), anyframe.WithBaseURL(srv.URL))
	if err != nil {
		fmt.Println(err)
		return
	}
	var credits struct{ Balance float64 }
	path := "/api/orgs/" + url.PathEscape("tiny/hq") + "/credits"
	if err := client.Do(ctx, http.MethodGet, path, nil, &credits, anyframe.CallQuery("month", "2026-11")); err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(credits.Balance)
	// Output:
	// GET /api/orgs/tiny%2Fhq/credits?month=2026-11
	// 12.5
}

// Call options add a field, a header or a parameter that a method does not support.
func ExampleCallBodyField() {
	ctx := context.Background()
	client, cp, stop := plane(nil)
	defer stop()
	session, err := client.Sessions.Create(ctx, anyframe.CreateSessionParams{AgentID: cp.AgentID()},
		anyframe.CallBodyField("idle_timeout_s", 60),
		anyframe.CallHeader("Idempotency-Key", "order-17"),
	)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(session.IdleTimeoutS)
	// Output: 60
}

// A negative value means none, here no retry and no limit; zero means the client's
// setting.
func ExampleCallRetries() {
	ctx := context.Background()
	client, _, stop := plane(nil)
	defer stop()
	var info anyframe.ResponseInfo
	_, err := client.Me(ctx, anyframe.CallRetries(-1), anyframe.CallTimeout(-1), anyframe.CaptureResponse(&info))
	fmt.Println(err, info.StatusCode, info.Attempts)
	// Output: <nil> 200 1
}

// A server whose certificate comes from a private authority.
func ExampleWithTLSConfig() {
	srv := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, `{"id": 1, "login": "ann"}`)
	}))
	defer srv.Close()
	authorities := x509.NewCertPool()
	authorities.AddCert(srv.Certificate())
	client, err := anyframe.New(
		anyframe.WithAPIKey("afm_example"),
		anyframe.WithBaseURL(srv.URL),
		anyframe.WithTLSConfig(&tls.Config{RootCAs: authorities, MinVersion: tls.VersionTLS12}),
	)
	if err != nil {
		fmt.Println(err)
		return
	}
	me, err := client.Me(context.Background())
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(me.Login)
	// Output: ann
}

// A custom proxy, with plain HTTP in a private network.
func ExampleWithProxy() {
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Println("asked for", r.URL)
		fmt.Fprint(w, `{"id": 1, "login": "ann"}`)
	}))
	defer proxy.Close()
	address, err := url.Parse(proxy.URL)
	if err != nil {
		fmt.Println(err)
		return
	}
	client, err := anyframe.New(
		anyframe.WithAPIKey("afm_example"),
		anyframe.WithBaseURL("http://anyframe.internal"),
		anyframe.WithPlainHTTP(),
		anyframe.WithProxy(http.ProxyURL(address)),
	)
	if err != nil {
		fmt.Println(err)
		return
	}
	_, err = client.Me(context.Background())
	fmt.Println(err)
	// Output:
	// asked for http://anyframe.internal/api/me
	// <nil>
}

// Settings without an option are set in a copy of the transport.
func ExampleDefaultTransport() {
	transport := anyframe.DefaultTransport()
	transport.ResponseHeaderTimeout = 10 * time.Second
	transport.MaxConnsPerHost = 50
	client, err := anyframe.New(
		anyframe.WithAPIKey("afm_example"),
		anyframe.WithBaseURL(anyframe.DefaultBaseURL),
		anyframe.WithHTTPClient(&http.Client{Transport: transport}),
	)
	fmt.Println(client, err)
	// Output: anyframe.Client(https://api.anyfrm.com) <nil>
}

// The API is moving from one domain to another. An error says when to try the other
// one.
func ExampleError_Elsewhere() {
	client, err := anyframe.New(
		anyframe.WithAPIKey("afm_example"),
		anyframe.WithBaseURL(anyframe.DefaultBaseURL),
		anyframe.WithRetry(anyframe.RetryPolicy{MaxRetries: -1}),
		anyframe.WithProxy(func(*http.Request) (*url.URL, error) { return nil, nil }),
		anyframe.WithDialContext(func(context.Context, string, string) (net.Conn, error) {
			return nil, &net.DNSError{Err: "no such host", Name: "api.anyfrm.com", IsNotFound: true}
		}),
	)
	if err != nil {
		fmt.Println(err)
		return
	}
	_, err = client.Me(context.Background())
	if e, ok := errors.AsType[*anyframe.Error](err); ok && e.Elsewhere() != "" {
		fmt.Println("try", e.Elsewhere())
	}
	// Output: try https://api.anyframe.dev
}

// The reason why a session did not boot.
func ExampleSessionStateError() {
	ctx := context.Background()
	client, cp, stop := plane(nil)
	defer stop()
	cp.FailBoots(1)
	session, err := client.Sessions.Create(ctx, anyframe.CreateSessionParams{AgentID: cp.AgentID()})
	if err != nil {
		fmt.Println(err)
		return
	}
	_, err = client.Sessions.WaitUntilRunning(ctx, session.ID, anyframe.WaitOptions{Interval: time.Millisecond})
	if e, ok := errors.AsType[*anyframe.SessionStateError](err); ok {
		fmt.Println(e.Session.Status, e.Session.ErrorReason)
	}
	// Output: error The scripted sandbox did not start
}

// A secret is sent as its value, and never printed.
func ExampleSecret() {
	params := anyframe.CreateMCPParams{
		Name:      "search",
		Transport: anyframe.TransportStdio,
		Config: map[string]any{
			"command": "search-mcp",
			"env":     map[string]any{"SEARCH_TOKEN": anyframe.NewSecret("a-token-of-the-search")},
		},
	}
	fmt.Println(params.Config["env"])
	// Output: map[SEARCH_TOKEN:…arch]
}

// Times are parsed in both forms of ISO 8601, and as Unix time.
func ExampleTime() {
	for _, text := range []string{`"2025-01-02T03:04:05+00:00"`, `"20250102T030405"`, `1735787045`, `"tomorrow"`} {
		var t anyframe.Time
		err := json.Unmarshal([]byte(text), &t)
		fmt.Println(t.Format(time.RFC3339), err)
	}
	// Output:
	// 2025-01-02T03:04:05Z <nil>
	// 2025-01-02T03:04:05Z <nil>
	// 2025-01-02T03:04:05Z <nil>
	// 0001-01-01T00:00:00Z anyframe: "tomorrow" is no time of ISO 8601
}

// A member of another type does not fail the call: it is converted if its meaning
// is clear, and otherwise counts as absent.
func ExampleSession() {
	var s anyframe.Session
	err := json.Unmarshal([]byte(`{"id": "x", "agent_id": "7", "idle_timeout_s": 300.0, "is_setup_session": 0, "previews": "none"}`), &s)
	fmt.Println(s.AgentID, s.IdleTimeoutS, s.IsSetupSession, len(s.Previews), err)
	// Output: 7 300 false 0 <nil>
}
