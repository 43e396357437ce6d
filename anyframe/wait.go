package anyframe

import (
	"context"
	"errors"
	"time"
)

// Defaults of [WaitOptions].
const (
	defaultSessionWait     = 180 * time.Second
	defaultSessionInterval = time.Second
	defaultBuildWait       = 600 * time.Second
	defaultBuildInterval   = 2 * time.Second
)

// staleGrace is how long after a resume an old status counts as a late response and
// not as a failure.
const staleGrace = 15 * time.Second

// WaitOptions configure a wait for a session or a build. The zero value is valid.
type WaitOptions struct {
	// Timeout bounds the whole wait. 0 means 180 s for a session and 600 s for a
	// build. If the context has a deadline, 0 means that only the deadline applies.
	// Negative means no limit.
	Timeout time.Duration
	// Interval is the time between polls. 0 means 1 s for a session and 2 s for a
	// build, negative none.
	Interval time.Duration
	// OnPoll, if set, is called with the result of each poll and the time since the
	// start.
	OnPoll func(status string, elapsed time.Duration)
}

func (o WaitOptions) withDefaults(timeout, interval time.Duration, bounded bool) WaitOptions {
	o.Interval = max(orDefault(o.Interval, interval), 0)
	if o.Timeout == 0 && !bounded {
		o.Timeout = timeout
	}
	return o
}

// WaitUntilRunning polls the session, immediately and then every Interval, until it
// is running. It returns a [*SessionStateError] if the session is terminated,
// paused or in error, and a [*WaitTimeoutError] on timeout. It continues on any
// other status, known or not, and after one failed poll between two successful
// ones.
func (s *SessionsService) WaitUntilRunning(
	ctx context.Context, id string, o WaitOptions, opts ...CallOption,
) (*Session, error) {
	w := s.newWaiter(ctx, id, o, opts)
	defer w.cancel()
	return w.until(func(session *Session) (bool, error) {
		if session.Status.stopped() {
			return false, &SessionStateError{Session: session}
		}
		return session.Status == StatusRunning, nil
	})
}

// EnsureRunning brings the session to the running state and returns it. It waits
// for a session that is booting, resumes one that is terminated or paused, and
// waits for one that is stopping to stop first. For a session in error, it returns
// a [*SessionStateError]. If the resume is refused and the session does not run
// anyway, it returns the error of the resume.
func (s *SessionsService) EnsureRunning(
	ctx context.Context, id string, o WaitOptions, opts ...CallOption,
) (*Session, error) {
	w := s.newWaiter(ctx, id, o, also(opts, bodyless))
	defer w.cancel()
	var resumed time.Time // zero before the resume
	var refusal error
	return w.until(func(session *Session) (bool, error) {
		switch {
		case session.Status == StatusRunning:
			return true, nil
		case session.Status == StatusError:
			return false, &SessionStateError{Session: session}
		case !session.Status.Resumable():
			return false, nil
		case refusal != nil:
			return false, refusal
		case !resumed.IsZero():
			if time.Since(resumed) < staleGrace {
				return false, nil
			}
			return false, &SessionStateError{Session: session}
		}
		resumed = time.Now()
		again, err := s.Resume(w.ctx, id, ResumeSessionParams{}, opts...)
		if errors.Is(err, ErrConflict) {
			refusal = err // or another client was faster: the next poll shows
			return false, nil
		}
		if err != nil {
			return false, err
		}
		*session = *again
		return session.Status == StatusRunning, nil
	})
}

func (s *SessionsService) newWaiter(
	ctx context.Context, id string, o WaitOptions, opts []CallOption,
) *waiter[Session] {
	w := &waiter[Session]{
		client: s.client, what: "session " + id + " running",
		look:   func(ctx context.Context) (*Session, error) { return s.Get(ctx, id, opts...) },
		status: func(session *Session) string { return string(session.Status) },
	}
	w.begin(ctx, o, defaultSessionWait, defaultSessionInterval)
	return w
}

// waiter is one wait for a state of a T.
type waiter[T any] struct {
	client *Client
	what   string // what is waited for
	look   func(context.Context) (*T, error)
	status func(*T) string

	o       WaitOptions
	ctx     context.Context // the caller's, with the wait's own timeout
	cancel  context.CancelFunc
	started time.Time
	last    string // the last status seen
}

// begin starts the clock. The caller must call cancel at the end.
func (w *waiter[T]) begin(ctx context.Context, o WaitOptions, timeout, interval time.Duration) {
	_, bounded := ctx.Deadline()
	w.o = o.withDefaults(timeout, interval, bounded)
	w.ctx, w.cancel, w.started = ctx, func() {}, time.Now()
	if w.o.Timeout > 0 {
		w.ctx, w.cancel = context.WithTimeout(ctx, w.o.Timeout) //nolint:gosec // the caller of begin calls it
	}
}

// until polls until done returns true or an error.
func (w *waiter[T]) until(done func(*T) (bool, error)) (*T, error) {
	failed := false // the previous poll
	for {
		v, err := w.look(w.ctx)
		switch {
		case err == nil:
			failed = false
			w.last = w.status(v)
			if w.o.OnPoll != nil {
				w.o.OnPoll(w.last, time.Since(w.started))
			}
			ok, err := done(v)
			if err != nil {
				return nil, w.explain(err)
			}
			if ok {
				return v, nil
			}
		case failed || !w.client.transient(err):
			return nil, w.explain(err)
		default:
			failed = true
		}
		if err := sleep(w.ctx, w.o.Interval); err != nil {
			return nil, w.explain(err)
		}
	}
}

// explain replaces an error caused by this wait's own timeout by a description of
// what was waited for.
func (w *waiter[T]) explain(err error) error {
	if errors.Is(w.ctx.Err(), context.DeadlineExceeded) && errors.Is(err, context.DeadlineExceeded) {
		return &WaitTimeoutError{What: w.what, Last: w.last, After: time.Since(w.started)}
	}
	return err
}
