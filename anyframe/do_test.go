package anyframe

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
)

// asks records the requests that a server receives.
type asks struct {
	mu   sync.Mutex
	all  []*http.Request
	body []string
}

func (a *asks) note(r *http.Request) string {
	text, _ := io.ReadAll(r.Body)
	a.mu.Lock()
	defer a.mu.Unlock()
	a.all, a.body = append(a.all, r), append(a.body, string(text))
	return string(text)
}

func TestDo_UnknownOperation_Called(t *testing.T) {
	var a asks
	c := newServer(t, func(w http.ResponseWriter, r *http.Request) {
		a.note(r)
		w.Header().Set("X-Request-Id", "r1")
		fmt.Fprint(w, `{"balance":12.5}`)
	})
	var out struct{ Balance float64 }
	var info ResponseInfo
	body := map[string]any{"token": NewSecret("super<secret>"), "list": []any{NewSecret("in a list")}, "plain": "<&>"}
	err := c.Do(t.Context(), http.MethodPost, "/api/credits%2Fx/a?b=c&b=d", body, &out,
		CallHeader("Idempotency-Key", "k1"), CallHeader("user-agent", "mine"), CallQuery("e", "f g"), CallBodyField("more", 1), CaptureResponse(&info))
	if err != nil || out.Balance != 12.5 || info.RequestID != "r1" || info.Attempts != 1 {
		t.Fatalf("got %+v, %+v, %v, want the answer", out, info, err)
	}
	r := a.all[0]
	if r.Method != "POST" || r.RequestURI != "/api/credits%2Fx/a?b=c&b=d&e=f+g" {
		t.Errorf("got %s %s", r.Method, r.RequestURI)
	}
	for name, want := range map[string]string{
		"Authorization": "Bearer " + testKey, "Idempotency-Key": "k1", "User-Agent": "mine", "Content-Type": "application/json",
	} {
		if got := r.Header.Get(name); got != want {
			t.Errorf("%s: got %q, want %q", name, got, want)
		}
	}
	if want := `{"list":["in a list"],"more":1,"plain":"<&>","token":"super<secret>"}`; a.body[0] != want {
		t.Errorf("got body %s, want %s", a.body[0], want)
	}
}

func TestDo_Out_ResponseStored(t *testing.T) {
	answer := " [1,2] \r\n"
	c := newServer(t, func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, answer) })
	var list []int
	var bytes []byte
	var raw json.RawMessage
	var anything any
	var info ResponseInfo
	for _, out := range []any{&list, &bytes, &raw, &anything, nil} {
		if err := c.Do(t.Context(), "GET", "/api/x", nil, out, CaptureResponse(&info)); err != nil || string(info.Body) != answer {
			t.Errorf("%T: got %q, %v", out, info.Body, err)
		}
	}
	if !slices.Equal(list, []int{1, 2}) || string(bytes) != answer || string(raw) != answer || !reflect.DeepEqual(anything, []any{1.0, 2.0}) {
		t.Errorf("got %v, %q, %q, %v", list, bytes, raw, anything)
	}
	for _, answer = range []string{"", " \n"} {
		if err := c.Do(t.Context(), "DELETE", "/api/x", nil, &list); err != nil || len(list) != 2 {
			t.Errorf("%q: got %v, %v, want an empty answer to change nothing", answer, list, err)
		}
		if err := c.Do(t.Context(), "DELETE", "/api/x", nil, &raw); err != nil || len(raw) == 0 {
			t.Errorf("%q: got %q, %v, want an empty answer to change nothing", answer, raw, err)
		}
	}
	for _, answer = range []string{"plain text", "  a,b\r\n1,2\r\n"} {
		if err := c.Do(t.Context(), "GET", "/api/x", nil, &bytes); err != nil || string(bytes) != answer {
			t.Errorf("got %q, %v, want any bytes", bytes, err)
		}
		for _, out := range []any{&list, &raw} {
			if err := c.Do(t.Context(), "GET", "/api/x", nil, out); !errors.Is(err, ErrInvalidResponse) {
				t.Errorf("%T: got %v, want ErrInvalidResponse", out, err)
			}
		}
	}
	if err := c.Do(t.Context(), "HEAD", "/api/x", nil, nil); err != nil {
		t.Error(err)
	}
}

func TestDo_Body_SentUnchanged(t *testing.T) {
	var a asks
	c := newServer(t, func(_ http.ResponseWriter, r *http.Request) { a.note(r) })
	const text = "{ \"a\" :\t\"<\" }\n"
	for _, body := range []any{[]byte(text), json.RawMessage(text), []byte("a,b\r\n"), json.RawMessage(nil)} {
		if err := c.Do(t.Context(), "POST", "/api/x", body, nil); err != nil {
			t.Error(err)
		}
	}
	if _, err := c.Sessions.Respond(t.Context(), sid, json.RawMessage(text)); err != nil {
		t.Error(err)
	}
	if want := []string{text, text, "a,b\r\n", "null", text}; !slices.Equal(a.body, want) {
		t.Errorf("got %q, want %q", a.body, want)
	}
}

func TestDo_Errors_SameAsMethods(t *testing.T) {
	for method, want := range map[string]int{"GET": 3, "HEAD": 3, "PUT": 3, "DELETE": 3, "POST": 1, "PATCH": 1} {
		var a asks
		c := newServer(t, func(w http.ResponseWriter, r *http.Request) {
			text := a.note(r)
			w.WriteHeader(http.StatusInternalServerError)
			fmt.Fprintf(w, `{"detail":%q}`, r.Header.Get("Authorization")+text)
		}, WithRetry(RetryPolicy{BaseDelay: -1}))
		var body any
		if method != "GET" && method != "HEAD" {
			body = []any{NewSecret("body-secret")}
		}
		err := c.Do(t.Context(), method, "/api/x", body, nil)
		e, ok := errors.AsType[*Error](err)
		if !ok || len(a.all) != want || e.Attempts != want || e.StatusCode != 500 {
			t.Errorf("%s: got %v after %d requests, want a 500 after %d", method, err, len(a.all), want)
		}
		if shown := fmt.Sprintf("%v %s %s", err, e.Body, e.Detail); strings.Contains(shown, testKey) || strings.Contains(shown, "body-secret") {
			t.Errorf("%s: got %s, want no secret", method, shown)
		}
	}
}

func TestDo_InvalidArguments_NothingSent(t *testing.T) {
	s := newScript(reply(200, `{}`))
	c := newClient(t, WithHTTPClient(&http.Client{Transport: s}))
	type hidden struct{ Token Secret }
	for name, call := range map[string]func(ctx context.Context) error{
		"no slash":       func(ctx context.Context) error { return c.Do(ctx, "GET", "api/x", nil, nil) },
		"another host":   func(ctx context.Context) error { return c.Do(ctx, "GET", "//evil.example/x", nil, nil) },
		"a URL":          func(ctx context.Context) error { return c.Do(ctx, "GET", "https://evil.example/x", nil, nil) },
		"nothing":        func(ctx context.Context) error { return c.Do(ctx, "GET", "", nil, nil) },
		"climbs":         func(ctx context.Context) error { return c.Do(ctx, "GET", "/api/../x", nil, nil) },
		"climbs encoded": func(ctx context.Context) error { return c.Do(ctx, "GET", "/api/%2e%2E/x", nil, nil) },
		"climbs within":  func(ctx context.Context) error { return c.Do(ctx, "GET", "/api/a%2f..%2fb", nil, nil) },
		"a dot":          func(ctx context.Context) error { return c.Do(ctx, "GET", "/api/./x", nil, nil) },
		"an empty id":    func(ctx context.Context) error { return c.Do(ctx, "DELETE", "/api/agents/", nil, nil) },
		"an empty part":  func(ctx context.Context) error { return c.Do(ctx, "GET", "/api//x", nil, nil) },
		"a fragment":     func(ctx context.Context) error { return c.Do(ctx, "GET", "/api/x#y", nil, nil) },
		"a space":        func(ctx context.Context) error { return c.Do(ctx, "GET", "/api/a b", nil, nil) },
		"a line end":     func(ctx context.Context) error { return c.Do(ctx, "GET", "/api/a\r\nX: y", nil, nil) },
		"bad escapes":    func(ctx context.Context) error { return c.Do(ctx, "GET", "/api/%zz", nil, nil) },
		"bad query":      func(ctx context.Context) error { return c.Do(ctx, "GET", "/api/x?a=%zz", nil, nil) },
		"no method":      func(ctx context.Context) error { return c.Do(ctx, "", "/api/x", nil, nil) },
		"lower case":     func(ctx context.Context) error { return c.Do(ctx, "get", "/api/x", nil, nil) },
		"CONNECT":        func(ctx context.Context) error { return c.Do(ctx, "CONNECT", "/api/x", nil, nil) },
		"body of a GET":  func(ctx context.Context) error { return c.Do(ctx, "GET", "/api/x", 1, nil) },
		"no JSON":        func(ctx context.Context) error { return c.Do(ctx, "POST", "/api/x", func() {}, nil) },
		"no pointer":     func(ctx context.Context) error { return c.Do(ctx, "GET", "/api/x", nil, map[string]any{}) },
		"nil pointer":    func(ctx context.Context) error { return c.Do(ctx, "GET", "/api/x", nil, (*int)(nil)) },
		"hidden secret":  func(ctx context.Context) error { return c.Do(ctx, "POST", "/api/x", hidden{}, nil) },
		"secrets":        func(ctx context.Context) error { return c.Do(ctx, "POST", "/api/x", []hidden{{}}, nil) },
		"the key":        func(ctx context.Context) error { return value(c.Me(ctx, CallHeader("authorization", "x"))) },
		"the host":       func(ctx context.Context) error { return value(c.Me(ctx, CallHeader("Host", "x"))) },
		"no header name": func(ctx context.Context) error { return value(c.Me(ctx, CallHeader("a b", "x"))) },
		"header line":    func(ctx context.Context) error { return value(c.Me(ctx, CallHeader("A", "x\r\nB: y"))) },
		"field of a GET": func(ctx context.Context) error { return value(c.Me(ctx, CallBodyField("a", 1))) },
		"field of a list": func(ctx context.Context) error {
			return value(c.Sessions.MessageRaw(ctx, sid, []int{1}, CallBodyField("a", 1)))
		},
		"field of null": func(ctx context.Context) error {
			return value(c.Sessions.Respond(ctx, sid, nil, CallBodyField("a", 1)))
		},
		"field no JSON": func(ctx context.Context) error {
			return value(c.Sessions.Terminate(ctx, sid, CallBodyField("a", func() {})))
		},
		"hidden in a field": func(ctx context.Context) error {
			return value(c.Sessions.Terminate(ctx, sid, CallBodyField("a", hidden{})))
		},
		"hidden in a map": func(ctx context.Context) error {
			return value(c.Agents.MCPs.Create(ctx, 1, CreateMCPParams{Name: "a", Transport: TransportHTTP, Config: map[string]any{"a": hidden{}}}))
		},
		"field of a stream": func(ctx context.Context) error {
			return last(c.Sessions.Follow(ctx, sid, StreamOptions{}, CallBodyField("a", 1)))
		},
		"resume of a log": func(ctx context.Context) error {
			return last(c.Agents.StreamBuild(ctx, 1, 2, StreamOptions{}, CallHeader("Last-Event-ID", "5")))
		},
		"format of a stream": func(ctx context.Context) error {
			return last(c.Sessions.Follow(ctx, sid, StreamOptions{}, CallHeader("accept", "text/plain")))
		},
		"encoding of a stream": func(ctx context.Context) error {
			return last(c.Sessions.Events(ctx, sid, StreamOptions{}, CallHeader("Accept-Encoding", "gzip")))
		},
		"line end in an event id": func(ctx context.Context) error {
			return last(c.Sessions.Follow(ctx, sid, StreamOptions{LastEventID: "5\n"}))
		},
		"since of a transcript": func(ctx context.Context) error {
			return last(c.Sessions.TranscriptAll(ctx, sid, 1, CallQuery("since", "5")))
		},
		"field of a wait": func(ctx context.Context) error {
			return value(c.Sessions.WaitUntilRunning(ctx, sid, WaitOptions{}, CallBodyField("a", 1)))
		},
	} {
		err := call(t.Context())
		if e, ok := errors.AsType[*Error](err); !ok || !errors.Is(err, ErrInvalid) || e.Sent() || e.Attempts != 0 {
			t.Errorf("%s: got %v, want it refused as ErrInvalid", name, err)
		}
	}
	if s.count() != 0 {
		t.Errorf("got %d requests, want none", s.count())
	}
}

func TestCallOptions_EveryMethod_Accepted(t *testing.T) {
	services := []reflect.Type{reflect.TypeFor[*Client]()}
	methods := 0
	for len(services) > 0 {
		service := services[0]
		services = services[1:]
		for m := range service.Methods() {
			if m.Type.NumIn() < 2 || m.Type.In(1) != reflect.TypeFor[context.Context]() {
				continue
			}
			methods++
			if !m.Type.IsVariadic() || m.Type.In(m.Type.NumIn()-1) != reflect.TypeFor[[]CallOption]() {
				t.Errorf("%s.%s: got %s, want ...CallOption at the end", service, m.Name, m.Type)
			}
		}
		for f := range service.Elem().Fields() {
			if f.IsExported() {
				services = append(services, f.Type)
			}
		}
	}
	if methods < 65 {
		t.Errorf("got %d methods, want all", methods)
	}
}

// Every request of a helper has the header and the query, and those with a body the
// field.
func TestCallOptions_Helper_EveryRequest(t *testing.T) {
	var a asks
	c := newServer(t, func(w http.ResponseWriter, r *http.Request) {
		a.note(r)
		switch p := r.URL.Path; {
		case strings.HasSuffix(p, "/events"):
			w.Header().Set("Content-Type", "text/event-stream")
			fmt.Fprint(w, "id: 5\ndata: {\"type\":\"result\"}\n\n")
		case strings.HasSuffix(p, "/stream"):
			w.Header().Set("Content-Type", "text/event-stream")
			fmt.Fprint(w, "event: state\ndata: {\"state\":\"succeeded\"}\n\n")
		case strings.HasSuffix(p, "/message"):
			fmt.Fprint(w, `{"ok":true,"seq":5}`)
		case strings.HasSuffix(p, "/build"):
			fmt.Fprint(w, `{"agent_id":1,"queued":true,"build_id":9}`)
		case strings.HasSuffix(p, "/build/status"):
			fmt.Fprint(w, `{"agent_id":1,"state":"succeeded"}`)
		case strings.HasSuffix(p, "/builds"):
			fmt.Fprint(w, `[{"id":9,"state":"succeeded"}]`)
		case strings.HasSuffix(p, "/transcript"):
			fmt.Fprint(w, `[]`)
		case strings.HasSuffix(p, "/resume"):
			fmt.Fprint(w, `{"id":"x","status":"running"}`)
		case strings.HasSuffix(p, "/gone"):
			fmt.Fprint(w, `{"id":"x","status":"terminated"}`)
		default:
			fmt.Fprint(w, `{"id":"x","status":"running"}`)
		}
	})
	opts := []CallOption{CallHeader("X-Tenant", "t1"), CallQuery("trace", "1")}
	all := append(slices.Clip(opts), CallBodyField("extra", true))
	ctx := t.Context()
	for name, call := range map[string]func() error{
		"GET+GET+POST": func() error {
			_, err := c.Agents.BuildAndWait(ctx, 1, BuildParams{}, WaitOptions{Interval: 1}, all...)
			return err
		},
		"GET+POST":        func() error { return last(c.Sessions.Turn(ctx, "x", Message{Prompt: "hi"}, StreamOptions{}, all...)) },
		"GET+POST resume": func() error { return value(c.Sessions.EnsureRunning(ctx, "gone", WaitOptions{}, all...)) },
		"GET wait":        func() error { return value(c.Sessions.WaitUntilRunning(ctx, "x", WaitOptions{}, opts...)) },
		"GET built":       func() error { return value(c.Agents.WaitForBuild(ctx, 1, WaitOptions{}, opts...)) },
		"GET events":      func() error { return last(c.Sessions.Events(ctx, "x", StreamOptions{}, opts...)) },
		"GET log":         func() error { return last(c.Agents.StreamBuild(ctx, 1, 2, StreamOptions{}, opts...)) },
		"GET transcript":  func() error { return last(c.Sessions.TranscriptAll(ctx, "x", 0, opts...)) },
		"GET follow": func() error {
			for _, err := range c.Sessions.Follow(ctx, "x", StreamOptions{}, opts...) {
				return err
			}
			return errors.New("no event")
		},
	} {
		a.all, a.body = nil, nil
		if err := call(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		var methods []string
		for i, r := range a.all {
			methods = append(methods, r.Method)
			if r.Header.Get("X-Tenant") != "t1" || r.URL.Query().Get("trace") != "1" {
				t.Errorf("%s: got %s %s with %v, want header and query", name, r.Method, r.RequestURI, r.Header)
			}
			if has := strings.Contains(a.body[i], `"extra":true`); has != (r.Method == http.MethodPost) {
				t.Errorf("%s: got %s with body %s, want the field in that of a POST", name, r.Method, a.body[i])
			}
		}
		slices.Sort(methods)
		if want, _, _ := strings.Cut(name, " "); strings.Join(methods, "+") != want {
			t.Errorf("got %v, want %s", methods, want)
		}
	}
}

func TestCallOptions_Method_RequestChanged(t *testing.T) {
	var a asks
	c := newServer(t, func(w http.ResponseWriter, r *http.Request) {
		a.note(r)
		w.Header().Set("X-Request-Id", "r2")
		if r.Method == http.MethodGet {
			fmt.Fprint(w, `[]`)
			return
		}
		fmt.Fprint(w, sessionJSON)
	})
	ctx := t.Context()
	params := CreateSessionParams{AgentID: 7}
	for _, err := range []error{
		value(c.Sessions.Create(ctx, params, CallBodyField("private", true), CallBodyField("idle_timeout_s", nil), CallBodyField("unsafe", "<x>"))),
		value(c.Sessions.Terminate(ctx, sid, CallBodyField("reason", NewSecret("the reason")))),
		value(c.Agents.Builds(ctx, 1, 5, CallQuery("limit", "7"), CallQuery("state", "a"), CallQuery("state", "b"))),
		value(c.Sessions.Create(ctx, params)),
	} {
		if err != nil {
			t.Error(err)
		}
	}
	want := []string{
		`{"agent_id":7,"idle_timeout_s":null,"private":true,"unsafe":"<x>"}`, `{"reason":"the reason"}`, ``,
		`{"agent_id":7,"idle_timeout_s":300,"unsafe":false}`,
	}
	if !slices.Equal(a.body, want) {
		t.Errorf("got %q, want %q", a.body, want)
	}
	if got := a.all[2].URL.RawQuery; got != "limit=7&state=a&state=b" {
		t.Errorf("got %s, want the limit replaced and both states", got)
	}
	if got := a.all[1].Header.Get("Content-Type"); got != "application/json" {
		t.Errorf("got Content-Type %q for the body that the option made", got)
	}
}
