package anyframe

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

// paths lists the requests by method and last path segment.
func (s *script) paths() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var list []string
	for _, r := range s.requests {
		list = append(list, r.Method+" "+r.URL.Path[len("/api/sessions/"):])
	}
	return list
}

func TestWait_Polls_AtOnceThenAtIntervals(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, _ := scripted(t, nil, status(StatusBooting), status("hibernating"), status(StatusSnapshotting), status(StatusRunning))
		var seen []string
		session, err := s.WaitUntilRunning(t.Context(), "x", WaitOptions{
			Interval: 3 * time.Second,
			OnPoll:   func(status string, elapsed time.Duration) { seen = append(seen, fmt.Sprint(status, " ", elapsed)) },
		})
		if err != nil || session.Status != StatusRunning {
			t.Fatalf("got %v, %v, want a running session", session, err)
		}
		if want := []string{"booting 0s", "hibernating 3s", "snapshotting 6s", "running 9s"}; !slices.Equal(seen, want) {
			t.Errorf("got %q, want %q", seen, want)
		}
	})
}

func TestWait_StoppedSession_Error(t *testing.T) {
	for _, state := range []SessionStatus{StatusTerminated, StatusPaused, StatusError} {
		synctest.Test(t, func(t *testing.T) {
			s, transport := scripted(t, nil, status(StatusBooting), status(state))
			_, err := s.WaitUntilRunning(t.Context(), "x", WaitOptions{})
			e, ok := errors.AsType[*SessionStateError](err)
			if !ok || e.Session.Status != state || transport.count() != 2 {
				t.Errorf("%s: got %v, want a SessionStateError with it", state, err)
			}
		})
	}
}

func TestWait_Timeout_Error(t *testing.T) {
	for name, test := range map[string]struct {
		deadline time.Duration // of the context; 0 for none
		timeout  time.Duration
		want     time.Duration
	}{
		"by default":           {0, 0, 180 * time.Second},
		"as set":               {0, 5 * time.Second, 5 * time.Second},
		"with the context":     {600 * time.Second, 0, 600 * time.Second},
		"whichever comes soon": {4 * time.Second, 5 * time.Second, 4 * time.Second},
	} {
		synctest.Test(t, func(t *testing.T) {
			ctx := t.Context()
			if test.deadline > 0 {
				var cancel context.CancelFunc
				ctx, cancel = context.WithTimeout(ctx, test.deadline)
				defer cancel()
			}
			start := time.Now()
			s, _ := scripted(t, nil, status(StatusBooting))
			_, err := s.WaitUntilRunning(ctx, "x", WaitOptions{Timeout: test.timeout})
			e, ok := errors.AsType[*WaitTimeoutError](err)
			if !ok || e.Last != "booting" || e.After != test.want || time.Since(start) != test.want {
				t.Errorf("%s: got %v after %v, want a WaitTimeoutError after %v", name, err, time.Since(start), test.want)
			}
			if !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("%s: got %v, want it to be DeadlineExceeded", name, err)
			}
		})
	}
}

func TestWait_TimeoutDuringPoll_Error(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, _ := scripted(t, nil, hang)
		_, err := s.WaitUntilRunning(t.Context(), "x", WaitOptions{Timeout: 5 * time.Second})
		if e, ok := errors.AsType[*WaitTimeoutError](err); !ok || e.Last != "" || e.After != 5*time.Second {
			t.Errorf("got %v, want a WaitTimeoutError after 5s that has seen nothing", err)
		}
	})
}

func TestWait_FailedPoll_Continues(t *testing.T) {
	none := []Option{WithRetry(RetryPolicy{MaxRetries: -1})}
	down := reply(503, "")
	for name, test := range map[string]struct {
		steps []func(*http.Request) (*http.Response, error)
		want  error
	}{
		"one":              {[]func(*http.Request) (*http.Response, error){down, status(StatusRunning)}, nil},
		"one and another":  {[]func(*http.Request) (*http.Response, error){down, status(StatusBooting), fail(reset), status(StatusRunning)}, nil},
		"two in a row":     {[]func(*http.Request) (*http.Response, error){down, down, status(StatusRunning)}, ErrServer},
		"one that is told": {[]func(*http.Request) (*http.Response, error){reply(404, ""), status(StatusRunning)}, ErrNotFound},
	} {
		synctest.Test(t, func(t *testing.T) {
			s, _ := scripted(t, none, test.steps...)
			if _, err := s.WaitUntilRunning(t.Context(), "x", WaitOptions{}); !errors.Is(err, test.want) {
				t.Errorf("%s: got %v, want %v", name, err, test.want)
			}
		})
	}
}

func TestWait_Canceled_EndsAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(1500*time.Millisecond, cancel)
		start := time.Now()
		s, _ := scripted(t, nil, status(StatusBooting))
		_, err := s.WaitUntilRunning(ctx, "x", WaitOptions{})
		if !errors.Is(err, context.Canceled) || time.Since(start) != 1500*time.Millisecond {
			t.Errorf("got %v after %v, want Canceled after 1.5s", err, time.Since(start))
		}
	})
}

func TestEnsureRunning_AnyState_Running(t *testing.T) {
	const look, resume = "GET x", "POST x/resume"
	for name, test := range map[string]struct {
		steps []func(*http.Request) (*http.Response, error)
		want  []string
	}{
		"running": {[]func(*http.Request) (*http.Response, error){status(StatusRunning)}, []string{look}},
		"booting": {[]func(*http.Request) (*http.Response, error){status(StatusBooting), status(StatusRunning)}, []string{look, look}},
		"terminated": {
			[]func(*http.Request) (*http.Response, error){status(StatusTerminated), status(StatusBooting), status(StatusRunning)},
			[]string{look, resume, look},
		},
		"paused, running at once": {
			[]func(*http.Request) (*http.Response, error){status(StatusPaused), status(StatusRunning)},
			[]string{look, resume},
		},
		"on the way down": {
			[]func(*http.Request) (*http.Response, error){status(StatusSnapshotting), status(StatusTerminated), status(StatusBooting), status(StatusRunning)},
			[]string{look, look, resume, look},
		},
		"a late answer after the resume": {
			[]func(*http.Request) (*http.Response, error){status(StatusTerminated), status(StatusBooting), status(StatusTerminated), status(StatusRunning)},
			[]string{look, resume, look, look},
		},
		"somebody else resumed": {
			[]func(*http.Request) (*http.Response, error){status(StatusTerminated), reply(409, ""), status(StatusBooting), status(StatusRunning)},
			[]string{look, resume, look, look},
		},
	} {
		synctest.Test(t, func(t *testing.T) {
			s, transport := scripted(t, nil, test.steps...)
			session, err := s.EnsureRunning(t.Context(), "x", WaitOptions{})
			if err != nil || session.Status != StatusRunning || !slices.Equal(transport.paths(), test.want) {
				t.Errorf("%s: got %+v, %v by %q, want it running by %q", name, session, err, transport.paths(), test.want)
			}
		})
	}
}

func TestEnsureRunning_CannotRun_Error(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, transport := scripted(t, nil, status(StatusError))
		if _, err := s.EnsureRunning(t.Context(), "x", WaitOptions{}); transport.count() != 1 || !isState(err, StatusError) {
			t.Errorf("in error: got %v, want a SessionStateError", err)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		s, transport := scripted(t, nil, status(StatusTerminated), reply(409, `{"detail":"no snapshot"}`), status(StatusTerminated))
		if _, err := s.EnsureRunning(t.Context(), "x", WaitOptions{}); !errors.Is(err, ErrConflict) || transport.count() != 3 {
			t.Errorf("no snapshot: got %v after %q, want the refusal", err, transport.paths())
		}
	})
	synctest.Test(t, func(t *testing.T) {
		s, _ := scripted(t, nil, status(StatusTerminated), reply(500, ""))
		if _, err := s.EnsureRunning(t.Context(), "x", WaitOptions{}); !errors.Is(err, ErrServer) {
			t.Errorf("resume failed: got %v, want ErrServer", err)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		s, transport := scripted(t, nil, status(StatusTerminated), status(StatusBooting), status(StatusTerminated))
		_, err := s.EnsureRunning(t.Context(), "x", WaitOptions{})
		if !isState(err, StatusTerminated) || time.Since(start) != staleGrace {
			t.Errorf("stopped again: got %v after %v, want a SessionStateError after %v", err, time.Since(start), staleGrace)
		}
		resumes := 0
		for _, p := range transport.paths() {
			if p == "POST x/resume" {
				resumes++
			}
		}
		if resumes != 1 {
			t.Errorf("stopped again: got %d resumes, want 1", resumes)
		}
	})
}

func isState(err error, want SessionStatus) bool {
	e, ok := errors.AsType[*SessionStateError](err)
	return ok && e.Session.Status == want
}
