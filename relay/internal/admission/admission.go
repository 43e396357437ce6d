// Package admission decides whether a turn that the relay does not know yet may begin, in
// the order in which visitors are promised to be refused: consent, pause, the visitor's rate, the
// day's budget, the challenge, new sessions, room. What an earlier check counted is given back when a
// later one refuses, and a challenge's solution is used up last.
//
// It knows what is asked, and not how it is counted, nor sessions, HTTP or AnyFrame.
package admission

import (
	"context"
	"errors"
	"sync"

	"github.com/anyframe-relay/relay/relay/internal/challenge"
	"github.com/anyframe-relay/relay/relay/internal/problem"
)

// Quota counts what visitors do. A refusal is a [problem.Problem].
type Quota interface {
	// Message counts one more turn of the visitor. The caller calls undo if it was not
	// sent.
	Message(ctx context.Context, visitor string) (undo func() error, err error)
	// ReserveTurn returns the refusal if the day's turns are used up. The caller calls
	// release when its turn is counted or has failed.
	ReserveTurn(ctx context.Context) (release func(), err error)
	// NewSession returns the refusal if addr, or all addresses together, have begun as
	// many sessions as they may at that toll.
	NewSession(ctx context.Context, addr string, toll challenge.Toll) error
	// BeginSession counts a session that addr is about to begin. The caller calls undo
	// if none was made.
	BeginSession(ctx context.Context, addr string, toll challenge.Toll) (undo func() error, err error)
}

// Pause keeps new turns from beginning.
type Pause interface {
	// Paused returns the refusal while there is a pause, else nil.
	Paused() error
}

// Consent knows who has agreed to what is asked before the first message.
type Consent interface {
	// Check returns the refusal of a visitor who has not agreed.
	Check(ctx context.Context, visitor string) error
}

// Desk admits turns. It is safe for concurrent use.
type Desk struct {
	Quota   Quota
	Pause   Pause
	Consent Consent
	// Challenge returns who asks for proof of work, as the settings are now.
	Challenge func() *challenge.Booth
}

// Claim is who wants a new session, and what was paid for it.
type Claim struct {
	Addr     string // empty: no new one is wanted
	Turn     string // the key of the turn that it is for, if any
	Solution string // of a challenge, as it came
	Solved   bool   // a challenge was solved, and the solution is used up
}

// Room is the place that new sessions have.
type Room interface {
	// MayBegin returns the refusal if there is no room for another sandbox.
	MayBegin(ctx context.Context) error
	// Short reports whether there is so little room that it takes a challenge.
	Short(ctx context.Context) (bool, error)
}

// Turn is a turn that wants to begin.
type Turn struct {
	Visitor string
	Claim   Claim
	// Room has the place for another sandbox. Nil: the turn needs no new session.
	Room Room
}

// Grant is what an admitted turn holds.
type Grant struct {
	Solved  bool // a challenge was solved for it
	undo    func() error
	release func()
}

// Undo gives back what the turn counted, if it failed before it was stored.
func (g *Grant) Undo() error {
	g.Release()
	return g.undo()
}

// Release gives up the turn's place in the day's budget: it is counted now, or has
// failed. It may be called more than once.
func (g *Grant) Release() { g.release() }

// Nothing is the grant of a turn that was sent already.
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

// Asks reports whether a new session takes a solved challenge now.
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

// counted returns the refusal if there are as many sessions as there may be at that toll.
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

// Count counts a session that is about to be made, before it is. The caller calls undo if
// none was made.
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

// pay begins at the toll that was paid. Where that takes a challenge, the claim's solution
// is checked before, and used up after, so that it is kept if something else refuses.
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
// place in the day's budget.
func (d *Desk) Resend(ctx context.Context) (*Grant, error) {
	release, err := d.Quota.ReserveTurn(ctx)
	if err != nil {
		return nil, err
	}
	return &Grant{undo: func() error { return nil }, release: sync.OnceFunc(release)}, nil
}
