package anyframe

import (
	"context"
	"errors"
	"io"
	"math"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// For every limit zero means the default, and a negative value means none.
func TestLimits_ZeroAndNegative_DefaultAndNone(t *testing.T) {
	t.Parallel()
	def := RetryPolicy{MaxRetries: 2, BaseDelay: 250 * time.Millisecond, MaxDelay: 5 * time.Second, MaxRetryAfter: 30 * time.Second}
	if got := (RetryPolicy{}).withDefaults(); got != def {
		t.Errorf("got %+v, want %+v", got, def)
	}
	if got := (RetryPolicy{MaxRetries: -1, BaseDelay: -1, MaxDelay: -1, MaxRetryAfter: -1}).withDefaults(); got != (RetryPolicy{MaxRetryAfter: math.MaxInt64}) {
		t.Errorf("got %+v, want none, and no limit of Retry-After", got)
	}
	hour := time.Hour
	if d, ok := (RetryPolicy{MaxRetryAfter: -1}).withDefaults().wait(t.Context(), &Error{RetryAfter: &hour}, 1); d != hour || !ok {
		t.Errorf("Retry-After of an hour: got %v, %v, want to wait for it", d, ok)
	}
	if got := (StreamOptions{}).withDefaults(); got.IdleTimeout != defaultIdleTimeout || got.MaxEventSize != defaultMaxEventSize || got.MaxStalls != defaultMaxStalls {
		t.Errorf("got %+v, want the defaults", got)
	}
	if got := (StreamOptions{IdleTimeout: -1, MaxEventSize: -1, MaxStalls: -1}).withDefaults(); got.IdleTimeout > 0 || got.MaxEventSize != math.MaxInt || got.MaxStalls >= 0 {
		t.Errorf("got %+v, want no limit", got)
	}
	for _, test := range []struct{ set, timeout, interval time.Duration }{
		{0, time.Minute, time.Second}, {-1, -1, 0}, {time.Hour, time.Hour, time.Hour},
	} {
		got := WaitOptions{Timeout: test.set, Interval: test.set}.withDefaults(time.Minute, time.Second, false)
		if got.Timeout != test.timeout || got.Interval != test.interval {
			t.Errorf("got %+v for %v, want %v and %v", got, test.set, test.timeout, test.interval)
		}
	}
	c := newClient(t, WithTimeout(time.Minute), WithRetry(RetryPolicy{MaxRetries: 4}))
	for _, test := range []struct {
		opts    []CallOption
		timeout time.Duration
		retries int
	}{
		{nil, time.Minute, 4},
		{[]CallOption{CallTimeout(0), CallRetries(0)}, time.Minute, 4},
		{[]CallOption{CallTimeout(-1), CallRetries(-1)}, 0, 0},
		{[]CallOption{CallTimeout(1), CallRetries(1)}, 1, 1},
	} {
		if _, o := c.prepare(get("/x"), test.opts); o.timeout != test.timeout || o.retries != test.retries {
			t.Errorf("got %v and %d, want %v and %d", o.timeout, o.retries, test.timeout, test.retries)
		}
	}
	for n := range 70 {
		for _, p := range []RetryPolicy{{}, {BaseDelay: -1}, {MaxDelay: -1}, {BaseDelay: math.MaxInt64, MaxDelay: math.MaxInt64}} {
			p = p.withDefaults()
			if d := p.backoff(n + 1); d < 0 || d > p.MaxDelay || p.BaseDelay == 0 && d != 0 {
				t.Errorf("%+v, attempt %d: got %v", p, n, d)
			}
		}
	}
}

func TestWait_NoLimit_Continues(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		s, _ := scripted(t, nil, func(r *http.Request) (*http.Response, error) {
			if time.Since(start) < 24*time.Hour {
				return status(StatusBooting)(r)
			}
			return status(StatusRunning)(r)
		})
		if _, err := s.WaitUntilRunning(t.Context(), "x", WaitOptions{Timeout: -1, Interval: time.Minute}); err != nil {
			t.Errorf("got %v, want the session after a day", err)
		}
	})
}

func TestCallTimeout_Stream_BoundsOpening(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, _ := scripted(t, nil, hang)
		start := time.Now()
		_, err := collect(s.Events(t.Context(), "x", StreamOptions{}, CallTimeout(3*time.Second)))
		if !errors.Is(err, ErrTransport) || time.Since(start) != 3*time.Second {
			t.Errorf("got %v after %v, want a timeout after 3s", err, time.Since(start))
		}
		s, _ = scripted(t, nil, live(func(ctx context.Context, w io.Writer) error {
			if err := sleep(ctx, time.Minute); err != nil {
				return err
			}
			_, err := io.WriteString(w, event(1))
			return err
		}))
		if ids, err := collect(s.Events(t.Context(), "x", StreamOptions{}, CallTimeout(3*time.Second))); err != nil || len(ids) != 1 {
			t.Errorf("got %v, %v, want the event after a minute", ids, err)
		}
	})
}

func TestIdleTimeout_ZeroSent_NegativeRefused(t *testing.T) {
	var a asks
	c := newServer(t, func(w http.ResponseWriter, r *http.Request) {
		a.note(r)
		_, _ = io.WriteString(w, sessionJSON)
	})
	for _, test := range []struct {
		idle *time.Duration
		want string
	}{
		{nil, `"idle_timeout_s":300,`},
		{new(time.Duration(0)), `"idle_timeout_s":0,`},
		{new(time.Nanosecond), `"idle_timeout_s":1,`},
		{new(90 * time.Second), `"idle_timeout_s":90,`},
		{new(time.Duration(math.MaxInt64)), `"idle_timeout_s":9223372037,`},
		{new(-time.Nanosecond), ""},
		{new(-time.Hour), ""},
	} {
		a.body = nil
		_, err := c.Sessions.Create(t.Context(), CreateSessionParams{AgentID: 7, IdleTimeout: test.idle})
		switch {
		case test.want == "":
			if !errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), "idle_timeout_s") || len(a.body) != 0 {
				t.Errorf("%v: got %v after %d requests, want it refused", *test.idle, err, len(a.body))
			}
		case err != nil || len(a.body) != 1 || !strings.Contains(a.body[0], test.want):
			t.Errorf("got %q, %v, want %s", a.body, err, test.want)
		}
	}
}

func TestBaseURL_Invalid_RefusedWithReason(t *testing.T) {
	isolate(t)
	for base, word := range map[string]string{
		"https://api.example:99999": "port", "https://api.example:0": "port", "https://api.example:": "port", "https://api.example:x": "port",
		"https://api.example:80x/a": "port", "https://[::1]:-1": "port",
		"https://api.example/ x": "space", " https://api.example": "space", "https://api.example ": "space", "https://api.example\t": "space",
		"https://api.example/api": "/api", "https://api.example/api/": "/api", "https://api.example/v1/API//": "/api",
		"http://10.0.0.1": "WithPlainHTTP", "http://anyframe.internal:8080": "WithPlainHTTP",
		"api.example": "https://", "ftp://api.example": "https://", "https://": "host",
		"https://u:secret@api.example": "user", "https://api.example?a": "query",
	} {
		_, err := New(WithAPIKey(testKey), WithBaseURL(base))
		if err == nil || !strings.Contains(err.Error(), word) || strings.Contains(err.Error(), "secret") {
			t.Errorf("%q: got %v, want a word about %s", base, err, word)
		}
	}
	for base, good := range map[string]bool{
		"http://10.0.0.1": true, "http://192.168.1.1:8080/anyframe": true, "http://anyframe.internal:8080": true, "http://[fd00::1]": true,
		"http://169.254.1.1": true, "http://8.8.8.8": false, "http://[2001:db8::1]": false, "ftp://10.0.0.1": false,
		"https://api.example": true, "https://api.example/apis": true, "https://api.example/api/v2": true, "https://[::1]:1": true,
	} {
		if _, err := New(WithAPIKey(testKey), WithBaseURL(base), WithPlainHTTP()); (err == nil) != good {
			t.Errorf("%q: got %v, want accepted: %v", base, err, good)
		}
	}
}

func TestMaps_TypedConstants_Encoded(t *testing.T) {
	var a asks
	c := newServer(t, func(w http.ResponseWriter, r *http.Request) {
		a.note(r)
		_, _ = io.WriteString(w, `{"id":1}`)
	})
	permissions := map[string]any{PermissionPresetMember: PermissionsReadOnly, PermissionExtraToolsMember: []string{"Bash"}}
	for _, err := range []error{
		value(c.Agents.Create(t.Context(), CreateAgentParams{Name: "a", Permissions: permissions})),
		value(c.Sessions.Respond(t.Context(), sid, map[string]any{"decision": DecisionApprove})),
	} {
		if err != nil {
			t.Error(err)
		}
	}
	if want := `"permissions":{"extra_allowed_tools":["Bash"],"preset":"read_only"}`; !strings.Contains(a.body[0], want) || a.body[1] != `{"decision":"approve"}` {
		t.Errorf("got %q, want %s and the decision", a.body, want)
	}
}
