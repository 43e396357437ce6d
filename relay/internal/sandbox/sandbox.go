// Package sandbox makes the calls to AnyFrame that operate a visitor's sandbox: create,
// resume, terminate, and check whether it is down. An [Operator] defines the calls, the
// meaning of their errors and which of them may be repeated. It does not depend on the
// sandbox's owner, the request's authorization, or other activity: package session
// decides about those.
//
// The context of a call contains the visitor that it is accounted to (see
// [upstream.For]).
package sandbox

import (
	"context"
	"errors"
	"time"

	"github.com/anyframe-relay/relay/anyframe"
	"github.com/anyframe-relay/relay/relay/internal/backoff"
	"github.com/anyframe-relay/relay/relay/internal/upstream"
)

// Operator makes the calls. It has no state.
type Operator struct {
	Client  *anyframe.Client
	AgentID func() int64
	// IdleTimeout is the idle time after which AnyFrame puts a sandbox to sleep.
	IdleTimeout time.Duration
	// Timeout is the timeout of one call.
	Timeout time.Duration
}

// Create creates a sandbox, which then boots. With unsure, there is an error but a
// sandbox may exist, whose id is unknown: a retry could create a second one.
func (o *Operator) Create(ctx context.Context) (id string, unsure bool, err error) {
	err = upstream.Retry(ctx, func() error {
		up, err := o.Client.Sessions.Create(ctx, anyframe.CreateSessionParams{AgentID: o.AgentID(), IdleTimeout: new(o.IdleTimeout)})
		if err != nil && !upstream.NeverSent(err) {
			return upstream.DoNotRetry(err)
		}
		if err == nil {
			id = up.ID
		}
		return err
	})
	_, unsure = errors.AsType[upstream.Permanent](err)
	return id, unsure, err
}

// AwaitRunning waits until a booting sandbox runs.
func (o *Operator) AwaitRunning(ctx context.Context, id string) error {
	return upstream.Retry(ctx, func() error {
		_, err := o.Client.Sessions.WaitUntilRunning(ctx, id, anyframe.WaitOptions{})
		return err
	})
}

// Resume gets a sandbox running. It reports whether the sandbox was down, in which case
// no other client had it running and working.
func (o *Operator) Resume(ctx context.Context, id string) (wasDown bool, err error) {
	var found anyframe.SessionStatus
	ensure := func() error {
		_, err := o.Client.Sessions.EnsureRunning(ctx, id, anyframe.WaitOptions{
			OnPoll: func(status string, _ time.Duration) {
				if found == "" {
					found = anyframe.SessionStatus(status)
				}
			},
		})
		return err
	}
	err = upstream.Retry(ctx, ensure)
	if state, ok := errors.AsType[*anyframe.SessionStateError](err); ok && state.Session != nil && state.Session.Status.Resumable() {
		err = upstream.Retry(ctx, ensure) // it has gone to sleep again, or never began to boot
	}
	return found.Resumable(), err
}

// IsDown reports whether AnyFrame has no sandbox up.
func (o *Operator) IsDown(ctx context.Context, id string) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, o.Timeout)
	defer cancel()
	up, err := o.Client.Sessions.Get(ctx, id)
	if errors.Is(err, anyframe.ErrNotFound) {
		return true, nil
	}
	return err == nil && (up.Status.Resumable() || up.Status == anyframe.StatusError), err
}

// Stopped reports whether a response of AnyFrame says that a sandbox neither runs nor
// boots, or that there is none.
func Stopped(up *anyframe.Session, err error) bool {
	return errors.Is(err, anyframe.ErrNotFound) || err == nil && up.Status != anyframe.StatusRunning && up.Status != anyframe.StatusBooting
}

// IsUp reports whether AnyFrame says that a sandbox runs or boots.
func (o *Operator) IsUp(ctx context.Context, id string) bool {
	ctx, cancel := context.WithTimeout(ctx, o.Timeout)
	defer cancel()
	up, err := o.Client.Sessions.Get(ctx, id)
	return err == nil && (up.Status == anyframe.StatusRunning || up.Status == anyframe.StatusBooting)
}

// WaitDown returns nil once the sandbox is down, which takes as long as its snapshot, or
// the error with which ctx ended.
func (o *Operator) WaitDown(ctx context.Context, id string) error {
	for attempt := 0; ; attempt++ {
		if down, err := o.IsDown(ctx, id); down || ctx.Err() != nil {
			return errors.Join(err, ctx.Err())
		}
		backoff.Sleep(ctx, min(100*time.Millisecond<<min(attempt, 10), 2*time.Second))
	}
}

// Terminate requests AnyFrame once to put a sandbox to sleep. It returns nil if that is
// in progress, or there is nothing to terminate.
func (o *Operator) Terminate(ctx context.Context, id string) error {
	ctx, cancel := context.WithTimeout(ctx, o.Timeout)
	defer cancel()
	_, err := o.Client.Sessions.Terminate(ctx, id)
	if errors.Is(err, anyframe.ErrNotFound) || errors.Is(err, anyframe.ErrConflict) {
		return nil
	}
	return err
}

// TerminateSoon is Terminate for an unneeded sandbox. While AnyFrame fails, it retries
// for as long as the sandbox stays awake unused; after that the sandbox sleeps by itself.
func (o *Operator) TerminateSoon(ctx context.Context, id string) error {
	ctx, cancel := context.WithTimeout(ctx, o.IdleTimeout)
	defer cancel()
	return upstream.Retry(ctx, func() error { return o.Terminate(ctx, id) })
}

// Down terminates a sandbox and returns nil once it is down. Both together take at most
// the timeout of one call.
func (o *Operator) Down(ctx context.Context, id string) error {
	ctx, cancel := context.WithTimeout(ctx, o.Timeout)
	defer cancel()
	if err := o.Terminate(ctx, id); err != nil {
		return err
	}
	return o.WaitDown(ctx, id)
}
