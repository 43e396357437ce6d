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

// staleGrace is how long after a resume the status from before it is taken for
// a late answer and not for a failure.
const staleGrace = 15 * time.Second

// WaitOptions say how to wait for a session or a build. The zero value will do.
type WaitOptions struct {
	// Timeout bounds the whole wait. 0 means 180 s for a session and 600 s for
	// a build, unless the context has a deadline, which then is the only bound.
	// Negative means no limit.
	Timeout time.Duration
	// Interval is the time between looks. 0 means 1 s for a session and 2 s for
	// a build, negative none.
	Interval time.Duration
	// OnPoll, when set, is told what each look found and the time since the start.
	OnPoll func(status string, elapsed time.Duration)
}

func (o WaitOptions) withDefaults(timeout, interval time.Duration, bounded bool) WaitOptions {
	o.Interval = max(orDefault(o.Interval, interval), 0)
	if o.Timeout == 0 && !bounded {
		o.Timeout = timeout
	}
	return o
}

// WaitUntilRunning looks at the session, at once and then every Interval, until
// it is running. A session that is terminated, paused or in error ends the wait
// with a [*SessionStateError]; the end of the time with a [*WaitTimeoutError].
// Any other status, known or not, is waited out, and so is one failed look
// between two that succeed.
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

// EnsureRunning brings the session up, whatever state it is in, and returns it
// running: it waits for one that boots, resumes one that is terminated or
// paused, and lets one that is stopping stop first. A session in error cannot
// be brought up and is a [*SessionStateError]. When the resume is refused and
// the session does not come up all the same, it returns the refusal.
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
			refusal = err // or another client was quicker: the next look tells
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

// waiter is one wait for something about a T.
type waiter[T any] struct {
	client *Client
	what   string // is waited for
	look   func(context.Context) (*T, error)
	status func(*T) string

	o       WaitOptions
	ctx     context.Context // the caller's, with the wait's own limit
	cancel  context.CancelFunc
	started time.Time
	last    string // the last status seen
}

// begin starts the clock. The caller calls cancel in the end.
func (w *waiter[T]) begin(ctx context.Context, o WaitOptions, timeout, interval time.Duration) {
	_, bounded := ctx.Deadline()
	w.o = o.withDefaults(timeout, interval, bounded)
	w.ctx, w.cancel, w.started = ctx, func() {}, time.Now()
	if w.o.Timeout > 0 {
		w.ctx, w.cancel = context.WithTimeout(ctx, w.o.Timeout) //nolint:gosec // the caller of begin calls it
	}
}

// until looks until done says so or fails.
func (w *waiter[T]) until(done func(*T) (bool, error)) (*T, error) {
	failed := false // the look before
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

// explain turns an error that is only our time running out into what was waited
// for.
func (w *waiter[T]) explain(err error) error {
	if errors.Is(w.ctx.Err(), context.DeadlineExceeded) && errors.Is(err, context.DeadlineExceeded) {
		return &WaitTimeoutError{What: w.what, Last: w.last, After: time.Since(w.started)}
	}
	return err
}
