// Package consent records which visitors have accepted the text that a website requires
// before the first message. Consent is stored by visitor, so that it applies to all
// devices of an identity, on every replica and after restarts. It does not depend on
// HTTP.
package consent

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"time"

	"github.com/anyframe-relay/relay/relay/internal/problem"
	"github.com/anyframe-relay/relay/relay/internal/store"
)

// kind is the kind of the records, whose owner and key are the visitor.
const kind = "consent"

// Store stores records. It is part of [store.Store].
type Store interface {
	Record(ctx context.Context, kind, key string) (store.Record, error)
	SaveRecord(ctx context.Context, r store.Record) (store.Record, error)
	DeleteRecord(ctx context.Context, kind, key string, version int64) error
}

// Gate admits visitors who have accepted a text. It is safe for concurrent use.
type Gate struct {
	text    string
	version string
	store   Store
	ttl     TTL
}

// TTL is how long a record is kept after its last use.
type TTL struct {
	Full time.Duration
	// Provisional applies until the visitor has a conversation. Until then, consent costs
	// no more than a request, so a flood of requests would otherwise fill the store.
	Provisional time.Duration
}

// given is the stored form.
type given struct {
	Version     string    `json:"version"`
	At          time.Time `json:"at"`
	Provisional bool      `json:"provisional,omitempty"`
}

// New returns a gate for a text. With an empty text the gate admits every visitor.
func New(text string, st Store, ttl TTL) *Gate {
	g := &Gate{text: text, store: st, ttl: ttl}
	if text != "" {
		sum := sha256.Sum256([]byte(text))
		g.version = hex.EncodeToString(sum[:8])
	}
	return g
}

// Text returns the required text, "" if there is none, and its version, which differs for
// every text.
func (g *Gate) Text() (text, version string) { return g.text, g.version }

// Give records that a visitor accepts the current text, and returns the time of
// acceptance. A provisional visitor has no conversation yet, see [Gate.Keep].
func (g *Gate) Give(ctx context.Context, visitor string, provisional bool) (at time.Time, err error) {
	err = g.change(ctx, visitor, func(have given) (given, bool) {
		if have.Version != g.version {
			have = given{g.version, time.Now().UTC().Truncate(time.Second), provisional}
		}
		at, have.Provisional = have.At, have.Provisional && provisional
		return have, true
	})
	return at, err
}

// Keep keeps the consent of a visitor who now has a conversation for the full TTL.
func (g *Gate) Keep(ctx context.Context, visitor string) error {
	if g.text == "" {
		return nil
	}
	return g.change(ctx, visitor, func(have given) (given, bool) {
		old := have.Provisional && have.Version == g.version
		have.Provisional = false
		return have, old
	})
}

// Given returns when a visitor accepted the current text, or zero if not yet, and extends
// the record.
func (g *Gate) Given(ctx context.Context, visitor string) (time.Time, error) {
	if g.text == "" {
		return time.Time{}, nil
	}
	r, have, err := g.read(ctx, visitor)
	if err != nil || have.Version != g.version {
		return time.Time{}, err
	}
	if ttl := g.lifetime(have); time.Until(r.ExpiresAt) < ttl-ttl/10 { // as often as a token
		err = g.save(ctx, r, have)
	}
	if errors.Is(err, store.ErrConflict) { // another process extended it
		err = nil
	}
	return have.At, err
}

// Check returns the refusal of a visitor who has not given consent, and extends the
// record of one who has.
func (g *Gate) Check(ctx context.Context, visitor string) error {
	at, err := g.Given(ctx, visitor)
	if err == nil && at.IsZero() && g.text != "" {
		err = problem.ConsentRequired
	}
	return err
}

// Forget deletes a visitor's consent, to any text. An epoch other than 0 means that only
// a conversation is erased, and consent is about all of them.
func (g *Gate) Forget(ctx context.Context, visitor string, epoch int64) error {
	for epoch == 0 {
		r, err := g.store.Record(ctx, kind, visitor)
		if errors.Is(err, store.ErrNotFound) {
			return nil
		}
		if err == nil {
			err = g.store.DeleteRecord(ctx, kind, visitor, r.Version)
		}
		if !errors.Is(err, store.ErrConflict) {
			return err
		}
	}
	return nil
}

// change changes a visitor's record if f returns true.
func (g *Gate) change(ctx context.Context, visitor string, f func(given) (given, bool)) error {
	for try := 0; ; try++ {
		r, have, err := g.read(ctx, visitor)
		if err != nil {
			return err
		}
		have, changed := f(have)
		if !changed {
			return nil
		}
		if err = g.save(ctx, r, have); try > 2 || !errors.Is(err, store.ErrConflict) {
			return err
		}
	}
}

func (g *Gate) read(ctx context.Context, visitor string) (r store.Record, have given, err error) {
	r, err = g.store.Record(ctx, kind, visitor)
	if errors.Is(err, store.ErrNotFound) {
		return store.Record{Kind: kind, Key: visitor, Owner: visitor}, have, nil
	}
	if err == nil {
		err = json.Unmarshal([]byte(r.Body), &have)
	}
	return r, have, err
}

func (g *Gate) lifetime(have given) time.Duration {
	if have.Provisional {
		return g.ttl.Provisional
	}
	return g.ttl.Full
}

func (g *Gate) save(ctx context.Context, r store.Record, have given) error {
	body, err := json.Marshal(have)
	if err != nil {
		return err
	}
	r.Body, r.ExpiresAt = string(body), time.Now().Add(g.lifetime(have))
	_, err = g.store.SaveRecord(ctx, r)
	return err
}
