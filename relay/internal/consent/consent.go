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
}

// Gate admits visitors who have accepted a text. It is safe for concurrent use.
type Gate struct {
	text    string
	version string
	store   Store
	ttl     time.Duration
}

// given is the stored form.
type given struct {
	Version string    `json:"version"`
	At      time.Time `json:"at"`
}

// New returns a gate for a text, whose records are kept for ttl after their last use.
// With an empty text the gate admits every visitor.
func New(text string, st Store, ttl time.Duration) *Gate {
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
// acceptance.
func (g *Gate) Give(ctx context.Context, visitor string) (time.Time, error) {
	for try := 0; ; try++ {
		r, have, err := g.read(ctx, visitor)
		if err != nil {
			return time.Time{}, err
		}
		if have.Version != g.version {
			have = given{g.version, time.Now().UTC().Truncate(time.Second)}
		}
		err = g.save(ctx, r, have)
		if try > 2 || !errors.Is(err, store.ErrConflict) {
			return have.At, err
		}
	}
}

// Given returns when a visitor accepted the current text, or zero if not yet.
func (g *Gate) Given(ctx context.Context, visitor string) (time.Time, error) {
	if g.text == "" {
		return time.Time{}, nil
	}
	_, have, err := g.read(ctx, visitor)
	if err != nil || have.Version != g.version {
		return time.Time{}, err
	}
	return have.At, nil
}

// Check returns the refusal of a visitor who has not given consent, and extends the
// record of one who has.
func (g *Gate) Check(ctx context.Context, visitor string) error {
	if g.text == "" {
		return nil
	}
	r, have, err := g.read(ctx, visitor)
	switch {
	case err != nil:
		return err
	case have.Version != g.version:
		return problem.ConsentRequired
	case time.Until(r.ExpiresAt) > g.ttl/2:
		return nil
	}
	if err := g.save(ctx, r, have); !errors.Is(err, store.ErrConflict) {
		return err
	}
	return nil // another process extended it
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

func (g *Gate) save(ctx context.Context, r store.Record, have given) error {
	body, err := json.Marshal(have)
	if err != nil {
		return err
	}
	r.Body, r.ExpiresAt = string(body), time.Now().Add(g.ttl)
	_, err = g.store.SaveRecord(ctx, r)
	return err
}
