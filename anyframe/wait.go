package anyframe

import (
	"context"
	"errors"
	"time"
)

const (
	defaultWait     = 180 * time.Second
	defaultInterval = time.Second

	// staleGrace is how long after a resume the status from before it is taken
	// for a late answer and not for a failure.
	staleGrace = 15 * time.Second
)

// WaitOptions say how to wait for a session. The zero value will do.
type WaitOptions struct {
	// Timeout bounds the whole wait. 0 means 180 s, unless the context has a
	// deadline, which then is the only bound.
	Timeout time.Duration
	// Interval is the time between looks. 0 means 1 s.
	Interval time.Duration
	// OnPoll, when set, is told what each look found and the time since the start.
	OnPoll func(status string, elapsed time.Duration)
}

// WaitUntilRunning looks at the session, at once and then every Interval, until
// it is running. A session that is terminated, paused or in error ends the wait
// with a [*SessionStateError]; the end of the time with a [*WaitTimeoutError].
// Any other status, known or not, is waited out, and so is one failed look
// between two that succeed.
func (s *SessionsService) WaitUntilRunning(ctx context.Context, id string, o WaitOptions) (*Session, error) {
	w := newWaiter(ctx, s, id, o)
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
func (s *SessionsService) EnsureRunning(ctx context.Context, id string, o WaitOptions) (*Session, error) {
	w := newWaiter(ctx, s, id, o)
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
		again, err := s.Resume(w.ctx, id, ResumeSessionParams{})
		if errors.Is(err, ErrConflict) {
			refusal = err // or somebody else was quicker: the next look tells
			return false, nil
		}
		if err != nil {
			return false, err
		}
		*session = *again
		return session.Status == StatusRunning, nil
	})
}

// waiter is one wait.
type waiter struct {
	s       *SessionsService
	id      string
	o       WaitOptions
	ctx     context.Context // the caller's, with the wait's own limit
	cancel  context.CancelFunc
	started time.Time
	last    string // the last status seen
}

func newWaiter(ctx context.Context, s *SessionsService, id string, o WaitOptions) *waiter {
	if o.Interval <= 0 {
		o.Interval = defaultInterval
	}
	if _, bounded := ctx.Deadline(); o.Timeout <= 0 && !bounded {
		o.Timeout = defaultWait
	}
	w := &waiter{s: s, id: id, o: o, ctx: ctx, cancel: func() {}, started: time.Now()}
	if o.Timeout > 0 {
		w.ctx, w.cancel = context.WithTimeout(ctx, o.Timeout)
	}
	return w
}

// until looks until done says so or fails.
func (w *waiter) until(done func(*Session) (bool, error)) (*Session, error) {
	failed := false // the look before
	for {
		session, err := w.s.Get(w.ctx, w.id)
		switch {
		case err == nil:
			failed = false
			w.last = string(session.Status)
			if w.o.OnPoll != nil {
				w.o.OnPoll(w.last, time.Since(w.started))
			}
			ok, err := done(session)
			if err != nil {
				return nil, w.explain(err)
			}
			if ok {
				return session, nil
			}
		case failed || !w.s.client.transient(err):
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
func (w *waiter) explain(err error) error {
	if errors.Is(w.ctx.Err(), context.DeadlineExceeded) && errors.Is(err, context.DeadlineExceeded) {
		return &WaitTimeoutError{What: "session " + w.id + " running", Last: w.last, After: time.Since(w.started)}
	}
	return err
}
