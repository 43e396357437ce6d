package anyframe

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"testing"
	"testing/synctest"
	"time"
)

// refusedDial is the error of a transport that could not connect.
var refusedDial = &net.OpError{Op: "dial", Net: "tcp", Err: errors.New("connection refused")}

// reset is the error of a transport that lost a connection.
var reset = &net.OpError{Op: "read", Net: "tcp", Err: errors.New("connection reset by peer")}

func TestRetry_Table_Observed(t *testing.T) {
	const once, thrice = 1, 3
	get, put, del, post, patch := http.MethodGet, http.MethodPut, http.MethodDelete, http.MethodPost, http.MethodPatch
	all, idempotent := []string{get, put, del, post, patch}, []string{get, put, del}
	tests := []struct {
		name  string
		step  func(*http.Request) (*http.Response, error)
		again []string // methods
	}{
		{"never connected", fail(refusedDial), all},
		{"429", reply(429, ""), all},
		{"429 with Retry-After", reply(429, "", "Retry-After", "1"), all},
		{"503 with Retry-After", reply(503, "", "Retry-After", "1"), idempotent},
		{"503", reply(503, ""), idempotent},
		{"408", reply(408, ""), idempotent},
		{"500", reply(500, ""), idempotent},
		{"502", reply(502, ""), idempotent},
		{"504", reply(504, ""), idempotent},
		{"reset", fail(reset), idempotent},
		{"timeout", hang, idempotent},
		{"cut body", func(r *http.Request) (*http.Response, error) {
			body := io.MultiReader(endlessOnce{}, errReader{io.ErrUnexpectedEOF})
			return response(r, 200, io.NopCloser(body)), nil
		}, idempotent},
		{"400", reply(400, ""), nil},
		{"401", reply(401, ""), nil},
		{"403", reply(403, ""), nil},
		{"404", reply(404, ""), nil},
		{"409", reply(409, ""), nil},
		{"422", reply(422, ""), nil},
		{"425", reply(425, ""), nil},
		{"501", reply(501, ""), nil},
		{"302", reply(302, "", "Location", "/x"), nil},
	}
	for _, test := range tests {
		for _, method := range all {
			synctest.Test(t, func(t *testing.T) {
				transport := newScript(test.step)
				c := newClient(t, WithHTTPClient(&http.Client{Transport: transport}))
				_, err := c.do(t.Context(), newRequest(method, "/api/x", nil), nil)
				want := once
				for _, m := range test.again {
					if m == method {
						want = thrice
					}
				}
				e, ok := errors.AsType[*Error](err)
				if !ok || transport.count() != want || e.Attempts != want {
					t.Errorf("%s, %s: got %d attempts, %v, want %d", method, test.name, transport.count(), err, want)
				}
			})
		}
	}
}

// endlessOnce returns one byte and is then done.
type endlessOnce struct{}

func (endlessOnce) Read(p []byte) (int, error) { p[0] = '{'; return 1, io.EOF }

type errReader struct{ err error }

func (r errReader) Read([]byte) (int, error) { return 0, r.err }

func TestRetry_FirstSuccess_Ends(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		transport := newScript(reply(503, ""), reply(200, sessionJSON))
		c := newClient(t, WithHTTPClient(&http.Client{Transport: transport}))
		var info ResponseInfo
		if _, err := c.Sessions.Get(t.Context(), "x", CaptureResponse(&info)); err != nil || info.Attempts != 2 {
			t.Errorf("got %v after %d attempts, want success after 2", err, info.Attempts)
		}
	})
}

func TestRetry_Body_SentWhole(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var bodies []string
		c := newClient(t, WithHTTPClient(&http.Client{Transport: roundTripper(func(r *http.Request) (*http.Response, error) {
			b, err := io.ReadAll(r.Body)
			bodies = append(bodies, string(b))
			if err != nil {
				return nil, err
			}
			return reply(429, "")(r)
		})}))
		if _, err := c.Sessions.Message(t.Context(), "x", Message{Prompt: "hi"}); !errors.Is(err, ErrRateLimited) {
			t.Errorf("got %v, want ErrRateLimited", err)
		}
		if len(bodies) != 3 || bodies[0] != `{"prompt":"hi"}` || bodies[2] != bodies[0] {
			t.Errorf("got %q, want the same body three times", bodies)
		}
	})
}

func TestDelete_404AfterLostResponse_Success(t *testing.T) {
	tests := []struct {
		first   func(*http.Request) (*http.Response, error)
		success bool
	}{
		{reply(502, ""), true},
		{fail(reset), true},
		{fail(refusedDial), false}, // the first one never arrived
		{reply(404, ""), false},
	}
	for i, test := range tests {
		synctest.Test(t, func(t *testing.T) {
			c := newClient(t, WithHTTPClient(&http.Client{Transport: newScript(test.first, reply(404, ""))}))
			_, err := c.do(t.Context(), remove("/api/x"), nil)
			if (err == nil) != test.success || err != nil && !errors.Is(err, ErrNotFound) {
				t.Errorf("case %d: got %v, want success %v", i, err, test.success)
			}
		})
	}
}

func TestRetry_PolicyAndCallRetries_SetAttempts(t *testing.T) {
	tests := []struct {
		policy RetryPolicy
		opts   []CallOption
		want   int
	}{
		{RetryPolicy{}, nil, 3},
		{RetryPolicy{MaxRetries: -1}, nil, 1},
		{RetryPolicy{MaxRetries: 4}, nil, 5},
		{RetryPolicy{MaxRetries: 4}, []CallOption{CallRetries(0)}, 5},
		{RetryPolicy{MaxRetries: 4}, []CallOption{CallRetries(-1)}, 1},
		{RetryPolicy{MaxRetries: -1}, []CallOption{CallRetries(1)}, 2},
		{RetryPolicy{}, []CallOption{CallRetries(-5)}, 1},
	}
	for i, test := range tests {
		synctest.Test(t, func(t *testing.T) {
			transport := newScript(reply(500, ""))
			c := newClient(t, WithHTTPClient(&http.Client{Transport: transport}), WithRetry(test.policy))
			if _, err := c.Me(t.Context(), test.opts...); !errors.Is(err, ErrServer) || transport.count() != test.want {
				t.Errorf("case %d: got %d attempts, %v, want %d", i, transport.count(), err, test.want)
			}
		})
	}
}

func TestRetry_POST503_OnlyWhenRequested(t *testing.T) {
	for header, want := range map[string]int{"": 1, "1": 3} {
		synctest.Test(t, func(t *testing.T) {
			transport := newScript(reply(503, "", "Retry-After", header))
			c := newClient(t, WithHTTPClient(&http.Client{Transport: transport}), WithRetry(RetryPolicy{RetryUnavailable: true}))
			_, err := c.Sessions.Create(t.Context(), CreateSessionParams{AgentID: 1})
			if e, ok := errors.AsType[*Error](err); !ok || transport.count() != want || !e.Sent() {
				t.Errorf("%q: got %d attempts, %v, want %d", header, transport.count(), err, want)
			}
		})
	}
}

func TestRetryAfter_EveryForm_Observed(t *testing.T) {
	tests := map[string]struct {
		name, value string
		want        time.Duration
	}{
		"seconds":      {"Retry-After", "7", 7 * time.Second},
		"decimals":     {"Retry-After", " 1.5 ", 1500 * time.Millisecond},
		"milliseconds": {"Retry-After-Ms", "250", 250 * time.Millisecond},
		"nothing":      {"Retry-After", "0", 0},
		"date":         {"Retry-After", "DATE", 9 * time.Second},
		"date gone by": {"Retry-After", "Sun, 06 Nov 1994 08:49:37 GMT", 0},
	}
	for name, test := range tests {
		synctest.Test(t, func(t *testing.T) {
			start := time.Now()
			if test.value == "DATE" {
				test.value = start.Add(test.want).UTC().Format(http.TimeFormat)
			}
			c := newClient(t, WithHTTPClient(&http.Client{Transport: newScript(
				reply(429, "", test.name, test.value), reply(200, sessionJSON),
			)}))
			if _, err := c.Sessions.Get(t.Context(), "x"); err != nil {
				t.Fatal(err)
			}
			if got := time.Since(start); got != test.want {
				t.Errorf("%s: got a wait of %v, want %v", name, got, test.want)
			}
		})
	}
	for _, value := range []string{"", "soon", "-1", "NaN", "1 2"} {
		if d := parseRetryAfter(http.Header{"Retry-After": {value}}); d != nil {
			t.Errorf("%q: got %v, want none", value, *d)
		}
	}
	if d := parseRetryAfter(http.Header{"Retry-After": {"1e300"}}); d == nil || *d < time.Hour {
		t.Errorf("got %v, want something long and not overflowed", d)
	}
}

func TestRetryAfter_OverLimit_ReturnedToCaller(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start, transport := time.Now(), newScript(reply(429, "", "Retry-After", "31"))
		c := newClient(t, WithHTTPClient(&http.Client{Transport: transport}))
		_, err := c.Me(t.Context())
		e, ok := errors.AsType[*Error](err)
		if !ok || e.RetryAfter == nil || *e.RetryAfter != 31*time.Second || transport.count() != 1 || time.Since(start) != 0 {
			t.Errorf("got %v after %v, want 429 with 31s at once", err, time.Since(start))
		}
	})
}

func TestRetry_WaitPastDeadline_NotStarted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		start, transport := time.Now(), newScript(reply(429, "", "Retry-After", "5"))
		c := newClient(t, WithHTTPClient(&http.Client{Transport: transport}))
		if _, err := c.Me(ctx); !errors.Is(err, ErrRateLimited) || time.Since(start) != 0 {
			t.Errorf("got %v after %v, want the 429 at once", err, time.Since(start))
		}
	})
}

func TestRetry_CanceledDuringWait_EndsAtOnce(t *testing.T) {
	for name, test := range map[string]struct {
		step func(*http.Request) (*http.Response, error)
		sent bool
	}{
		"refused": {reply(429, "", "Retry-After", "20"), false},
		"failed":  {reply(503, "", "Retry-After", "20"), true},
	} {
		synctest.Test(t, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			time.AfterFunc(time.Second, cancel)
			start := time.Now()
			c := newClient(t, WithHTTPClient(&http.Client{Transport: newScript(test.step)}))
			_, err := c.Me(ctx)
			e, ok := errors.AsType[*Error](err)
			if !ok || !errors.Is(err, context.Canceled) || errors.Is(err, ErrTransport) || time.Since(start) != time.Second {
				t.Errorf("%s: got %v after %v, want Canceled after 1s", name, err, time.Since(start))
			}
			if e.Sent() != test.sent {
				t.Errorf("%s: got sent %v, want %v", name, e.Sent(), test.sent)
			}
		})
	}
}

func TestBackoff_Attempts_DoubleWithFullJitter(t *testing.T) {
	p := RetryPolicy{}.withDefaults()
	for n, bound := range map[int]time.Duration{
		1: 250 * time.Millisecond, 2: 500 * time.Millisecond, 5: 4 * time.Second, 6: 5 * time.Second, 1000: 5 * time.Second,
	} {
		var least, most time.Duration = bound, 0
		for range 2000 {
			d := p.backoff(n)
			least, most = min(least, d), max(most, d)
		}
		// The chance that none of 2,000 uniform draws is in one tenth of the range is
		// 10^-91.
		if most > bound || most < bound*9/10 || least > bound/10 {
			t.Errorf("attempt %d: got from %v to %v, want from 0 to %v", n, least, most, bound)
		}
	}
}

func TestTimeout_EachAttempt_IncludesBody(t *testing.T) {
	slowBody := live(func(ctx context.Context, w io.Writer) error {
		for range 100 {
			if err := sleep(ctx, time.Second); err != nil {
				return err
			}
			if _, err := w.Write([]byte(" ")); err != nil {
				return err
			}
		}
		return nil
	})
	for name, step := range map[string]func(*http.Request) (*http.Response, error){"headers": hang, "body": slowBody} {
		for _, test := range []struct {
			opts []Option
			call []CallOption
			want time.Duration
		}{
			{nil, nil, 30 * time.Second},
			{[]Option{WithTimeout(10 * time.Second)}, nil, 10 * time.Second},
			{[]Option{WithTimeout(10 * time.Second)}, []CallOption{CallTimeout(3 * time.Second)}, 3 * time.Second},
		} {
			synctest.Test(t, func(t *testing.T) {
				start := time.Now()
				c := newClient(t, append(test.opts, WithHTTPClient(&http.Client{Transport: newScript(step)}))...)
				_, err := c.Sessions.Message(t.Context(), "x", Message{Prompt: "hi"}, test.call...)
				if got := time.Since(start); got != test.want {
					t.Errorf("%s: got %v, want %v", name, got, test.want)
				}
				e, ok := errors.AsType[*Error](err)
				if !ok || !errors.Is(err, ErrTransport) || !errors.Is(err, context.DeadlineExceeded) || !e.Sent() {
					t.Errorf("%s: got %v, want a transport error that counts as sent", name, err)
				}
			})
		}
	}
}

func TestTimeout_Negative_None(t *testing.T) {
	for _, test := range []struct {
		opts []Option
		call []CallOption
	}{
		{[]Option{WithTimeout(-1)}, nil},
		{nil, []CallOption{CallTimeout(-1)}},
		{[]Option{WithTimeout(-1)}, []CallOption{CallTimeout(0)}},
	} {
		synctest.Test(t, func(t *testing.T) {
			late := func(r *http.Request) (*http.Response, error) {
				if err := sleep(r.Context(), time.Hour); err != nil {
					return nil, err
				}
				return reply(200, sessionJSON)(r)
			}
			c := newClient(t, append(test.opts, WithHTTPClient(&http.Client{Transport: newScript(late)}))...)
			if _, err := c.Sessions.Get(t.Context(), "x", test.call...); err != nil {
				t.Errorf("got %v, want an answer after an hour", err)
			}
		})
	}
}

func TestDeadline_OfCaller_NotErrTransport(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		transport := newScript(hang)
		c := newClient(t, WithHTTPClient(&http.Client{Transport: transport}))
		_, err := c.Me(ctx)
		if !errors.Is(err, context.DeadlineExceeded) || errors.Is(err, ErrTransport) || transport.count() != 1 {
			t.Errorf("got %v after %d attempts, want the caller's deadline after one", err, transport.count())
		}
	})
}

func TestSent_Status_Decides(t *testing.T) {
	for status := 300; status < 600; status++ {
		c := newClient(t, WithRetry(RetryPolicy{MaxRetries: -1}), WithHTTPClient(&http.Client{Transport: newScript(reply(status, ""))}))
		_, err := c.Sessions.Message(t.Context(), "x", Message{Prompt: "hi"})
		e, ok := errors.AsType[*Error](err)
		want := status < 400 || status >= 500 || status == 408 || status == 499
		if !ok || e.Sent() != want {
			t.Errorf("%s: got sent %v, want %v", strconv.Itoa(status), e.Sent(), want)
		}
	}
}

func TestSent_EarlierAttempt_Counts(t *testing.T) {
	for name, test := range map[string]struct {
		first func(*http.Request) (*http.Response, error)
		want  bool
	}{
		"answered 503":    {reply(503, "", "Retry-After", "0"), true},
		"refused":         {reply(429, "", "Retry-After", "0"), false},
		"never connected": {fail(refusedDial), false},
	} {
		synctest.Test(t, func(t *testing.T) {
			c := newClient(t, WithRetry(RetryPolicy{MaxRetries: 1, RetryUnavailable: true}),
				WithHTTPClient(&http.Client{Transport: newScript(test.first, reply(429, ""))}))
			_, err := c.Sessions.Message(t.Context(), "x", Message{Prompt: "hi"})
			if e, ok := errors.AsType[*Error](err); !ok || e.Sent() != test.want || e.Attempts != 2 {
				t.Errorf("%s: got %v, sent %v, want sent %v", name, err, e.Sent(), test.want)
			}
		})
	}
}

func TestSent_UnknownTransport_OnlyDialTrusted(t *testing.T) {
	for err, want := range map[error]bool{
		error(refusedDial): false, fmt.Errorf("x: %w", refusedDial): false, reset: true, io.EOF: true,
		&net.DNSError{Err: "no such host"}: true, // without httptrace, an earlier request may have been sent
	} {
		c := newClient(t, WithRetry(RetryPolicy{MaxRetries: -1}), WithHTTPClient(&http.Client{Transport: newScript(fail(err))}))
		_, got := c.Me(t.Context())
		if e, ok := errors.AsType[*Error](got); !ok || e.Sent() != want || !errors.Is(got, ErrTransport) || !errors.Is(got, err) {
			t.Errorf("%v: got %v, sent %v, want %v", err, got, e.Sent(), want)
		}
	}
}
