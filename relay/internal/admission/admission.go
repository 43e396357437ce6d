// Package admission decides whether a new turn may begin. It checks in the documented
// order: consent, pause, the visitor's rate, the day's budget, the challenge, new
// sessions, capacity. If a later check refuses, earlier counts are given back. A
// challenge's solution is used up last.
//
// The package defines the checks. It does not depend on how they count, nor on sessions,
// HTTP or AnyFrame.
package admission

import (
	"context"
	"errors"
	"sync"

	"github.com/anyframe-relay/relay/relay/internal/challenge"
	"github.com/anyframe-relay/relay/relay/internal/problem"
)

// Quota counts what visitors do. It refuses with a [problem.Problem].
type Quota interface {
	// Message counts one turn of the visitor. The caller must call undo if it was not
	// sent.
	Message(ctx context.Context, visitor string) (undo func() error, err error)
	// ReserveTurn returns the refusal if the day's turns are used up. The caller must
	// call release when its turn has been counted or has failed.
	ReserveTurn(ctx context.Context) (release func(), err error)
	// NewSession returns the refusal if addr, or all addresses together, have begun as
	// many sessions as allowed at that toll.
	NewSession(ctx context.Context, addr string, toll challenge.Toll) error
	// BeginSession counts a session that addr is about to begin. The caller must call
	// undo if none was created.
	BeginSession(ctx context.Context, addr string, toll challenge.Toll) (undo func() error, err error)
}

// Pause prevents new turns from starting.
type Pause interface {
	// Paused returns the refusal during a pause, else nil.
	Paused() error
}

// Consent stores which visitors have given the required consent.
type Consent interface {
	// Check returns the refusal of a visitor who has not given consent.
	Check(ctx context.Context, visitor string) error
}

// Desk admits turns. It is safe for concurrent use.
type Desk struct {
	Quota   Quota
	Pause   Pause
	Consent Consent
	// Challenge returns the current issuer of challenges.
	Challenge func() *challenge.Booth
}

// Claim is the requester of a new session, and the challenge it has solved.
type Claim struct {
	Addr     string // empty: no new session is wanted
	Turn     string // the key of the turn that needs it, if any
	Solution string // the challenge's solution, unparsed
	Solved   bool   // a challenge was solved, and its solution is used up
}

// Room is the capacity for new sandboxes.
type Room interface {
	// MayBegin returns the refusal if there is no capacity for another sandbox.
	MayBegin(ctx context.Context) error
	// Short reports whether capacity is so low that a challenge is required.
	Short(ctx context.Context) (bool, error)
}

// Turn is a turn that requests admission.
type Turn struct {
	Visitor string
	Claim   Claim
	// Room is the capacity for another sandbox. Nil means that the turn needs no new
	// session.
	Room Room
}

// Grant is what an admitted turn holds.
type Grant struct {
	Solved  bool // a challenge was solved for it
	undo    func() error
	release func()
}

// Undo gives back what was counted for the turn, if it failed before it was stored.
func (g *Grant) Undo() error {
	g.Release()
	return g.undo()
}

// Release releases the turn's reservation in the day's budget: it has been counted, or
// has failed. It may be called more than once.
func (g *Grant) Release() { g.release() }

// Nothing returns the grant of a turn that has already been sent.
func Nothing() *Grant { return &Grant{undo: func() error { return nil }, release: func() {}} }

// Admit admits a turn, or returns the refusal and counts nothing.
func (d *Desk) Admit(ctx context.Context, t Turn) (*Grant, error) {
	if err := d.Consent.Check(ctx, t.Visitor); err != nil {
		return nil, err
	}
	if err := d.Pause.Paused(); err != nil {
		return nil, err
	}
	undo, err := d.Quota.Message(ctx, t.Visitor)
	if err != nil {
		return nil, err
	}
	release, err := d.Quota.ReserveTurn(ctx)
	if err != nil {
		return nil, errors.Join(err, undo())
	}
	g := &Grant{undo: undo, release: sync.OnceFunc(release)}
	if t.Room == nil {
		return g, nil
	}
	if g.Solved, err = d.Begin(ctx, t); err != nil {
		return nil, errors.Join(err, g.Undo())
	}
	return g, nil
}

// Begin returns the refusal of a new session, and whether a challenge was solved for it.
func (d *Desk) Begin(ctx context.Context, t Turn) (solved bool, err error) {
	return d.pay(ctx, t.Visitor, t.Claim, func(toll challenge.Toll) error {
		if err := d.counted(ctx, t, toll); err != nil {
			return err
		}
		return t.Room.MayBegin(ctx)
	})
}

// Asks reports whether a new session currently requires a solved challenge.
func (d *Desk) Asks(ctx context.Context, t Turn) (bool, error) {
	mode := d.Challenge().Mode
	if mode != challenge.Auto {
		return mode == challenge.Always, nil
	}
	err := d.counted(ctx, t, challenge.Unpaid)
	if errors.Is(err, problem.ChallengeNeeded) {
		return true, nil
	}
	return false, err
}

// counted returns the refusal if the limit of sessions at that toll is reached.
func (d *Desk) counted(ctx context.Context, t Turn, toll challenge.Toll) error {
	err := d.Quota.NewSession(ctx, t.Claim.Addr, toll)
	if err != nil || toll != challenge.Unpaid {
		return err
	}
	short, err := t.Room.Short(ctx)
	if err == nil && short {
		err = problem.ChallengeNeeded
	}
	return err
}

// Count counts a session that is about to be created. The caller must call undo if none
// was created.
func (d *Desk) Count(ctx context.Context, visitor string, c Claim) (undo func() error, err error) {
	undo = func() error { return nil }
	_, err = d.pay(ctx, visitor, c, func(toll challenge.Toll) error {
		counted, err := d.Quota.BeginSession(ctx, c.Addr, toll)
		if err == nil {
			undo = counted
		}
		return err
	})
	if err != nil {
		return nil, errors.Join(err, undo())
	}
	return undo, nil
}

// pay calls begin with the toll that was paid. If a challenge is required, the claim's
// solution is checked before begin and used up after it, so that it stays usable if begin
// refuses.
func (d *Desk) pay(ctx context.Context, visitor string, c Claim, begin func(challenge.Toll) error) (solved bool, err error) {
	booth := d.Challenge()
	switch {
	case booth.Mode == challenge.Off:
		return false, begin(challenge.Free)
	case c.Solved:
		return true, begin(challenge.Paid)
	case booth.Mode == challenge.Auto:
		if err := begin(challenge.Unpaid); !errors.Is(err, problem.ChallengeNeeded) {
			return false, err
		}
	}
	pass, err := booth.Check(ctx, visitor, c.Solution, c.Turn)
	if err != nil {
		return false, err
	}
	if err := begin(challenge.Paid); err != nil {
		return false, err
	}
	return true, booth.Use(ctx, pass)
}

// Resend admits a turn that was admitted before and has not been sent: it only needs a
// reservation in the day's budget.
func (d *Desk) Resend(ctx context.Context) (*Grant, error) {
	release, err := d.Quota.ReserveTurn(ctx)
	if err != nil {
		return nil, err
	}
	return &Grant{undo: func() error { return nil }, release: sync.OnceFunc(release)}, nil
}
