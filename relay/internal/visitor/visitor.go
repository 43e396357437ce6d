package visitor

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"regexp"
	"sync"
	"time"

	"github.com/alexedwards/scs/v2"

	"github.com/anyframe-relay/relay/relay/internal/problem"
	"github.com/anyframe-relay/relay/relay/internal/store"
)

// A visitor is identified by an scs session: a token of 256 random bits. The
// store keeps only its hash. The session holds one value, an id that is created with it
// and never changes, so that concurrent requests have nothing to overwrite. All other
// data is in the store and is written by compare-and-set.
//
// scs's own middleware is not used, because it writes cookies on its own. Here only POST
// /v1/visitor issues a token.

const (
	idKey          = "visitor"
	identifiedKey  = "identified"
	provisionalKey = "provisional"
	noteIdentity   = "identity"
	storeTimeout   = 5 * time.Second

	// ProvisionalTTL is the TTL of the token of a visitor who has no session yet and thus
	// nothing to lose. A token costs one request, so a flood of requests would otherwise
	// fill the store for the whole TTL.
	ProvisionalTTL = time.Hour
)

// tokenPattern matches the form of a token; anything else never reaches the store.
var tokenPattern = regexp.MustCompile(`^[A-Za-z0-9_-]{43}$`)

// ValidToken reports whether s has the form of a token.
func ValidToken(s string) bool { return tokenPattern.MatchString(s) }

// NewID returns an id for an anonymous visitor.
func NewID() string { return rand.Text() }

// Visitor is a visitor authenticated by a request.
type Visitor struct {
	ID          string
	Token       string
	ExpiresAt   time.Time
	Identified  bool // identified by the website
	Provisional bool // has no session yet, so that ExpiresAt is near
}

// Store is the part of [store.Store] that tokens need.
type Store interface {
	scs.CtxStore
	BeginNote(ctx context.Context, n store.Note) (stored store.Note, fresh bool, err error)
	SaveNote(ctx context.Context, n store.Note) (store.Note, error)
}

// Tokens creates, resolves, extends and revokes visitor tokens. It is safe for concurrent
// use.
type Tokens struct {
	store   Store
	manager *scs.SessionManager
	ttl     time.Duration

	mu sync.Mutex // serializes extending and revoking, so that a revoked token is never written again
}

// NewTokens returns the tokens in st, with a TTL of ttl.
func NewTokens(st Store, ttl time.Duration) *Tokens {
	// scs.New is not used, because it starts a goroutine for a store of its own that
	// cannot be stopped. IdleTimeout is not set, because every request would then rewrite
	// the session.
	return &Tokens{
		store: st, ttl: ttl,
		manager: &scs.SessionManager{Store: st, Codec: Codec{}, HashTokenInStore: true, Lifetime: ttl},
	}
}

// TTL returns the TTL of a token.
func (t *Tokens) TTL() time.Duration { return t.ttl }

// Resolve returns the token's visitor, or [problem.VisitorUnknown].
func (t *Tokens) Resolve(ctx context.Context, token string) (Visitor, error) {
	ctx, err := t.manager.Load(ctx, token)
	if errors.Is(err, errBadRow) {
		return Visitor{}, problem.VisitorUnknown
	}
	if err != nil {
		return Visitor{}, err
	}
	id := t.manager.GetString(ctx, idKey)
	deadline := t.manager.Deadline(ctx)
	if id == "" || !deadline.After(time.Now()) {
		return Visitor{}, problem.VisitorUnknown
	}
	return Visitor{id, token, deadline, t.manager.GetBool(ctx, identifiedKey), t.manager.GetBool(ctx, provisionalKey)}, nil
}

// Valid reports whether a token is valid.
func (t *Tokens) Valid(ctx context.Context, token string) (bool, error) {
	_, err := t.Resolve(ctx, token)
	if errors.Is(err, problem.VisitorUnknown) {
		return false, nil
	}
	return err == nil, err
}

// Key returns the key under which a token is stored: scs stores its SHA-256.
func Key(token string) string {
	sum := sha256.Sum256([]byte(token))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

// Mint creates a token for a visitor. The token of an anonymous visitor is provisional.
func (t *Tokens) Mint(ctx context.Context, id string, identified bool) (Visitor, error) {
	ctx, err := t.manager.Load(context.WithoutCancel(ctx), "")
	if err != nil {
		return Visitor{}, err
	}
	v := Visitor{ID: id, Identified: identified, Provisional: !identified && ProvisionalTTL < t.ttl}
	t.manager.Put(ctx, idKey, id)
	t.manager.Put(ctx, identifiedKey, identified)
	t.manager.Put(ctx, provisionalKey, v.Provisional)
	t.manager.SetDeadline(ctx, time.Now().Add(t.lifetime(v)))
	v.Token, v.ExpiresAt, err = t.manager.Commit(ctx)
	return v, err
}

// lifetime returns the TTL of the visitor's token.
func (t *Tokens) lifetime(v Visitor) time.Duration {
	if v.Provisional {
		return ProvisionalTTL
	}
	return t.ttl
}

// Extend extends a returning visitor's token to the full TTL, once a tenth of it has
// passed. It returns [problem.VisitorUnknown] if the token was revoked.
func (t *Tokens) Extend(ctx context.Context, v Visitor) (Visitor, error) {
	until := time.Now().Add(t.lifetime(v))
	if until.Sub(v.ExpiresAt) < t.lifetime(v)/10 {
		return v, nil
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	ctx, err := t.manager.Load(context.WithoutCancel(ctx), v.Token)
	if err != nil {
		return v, err
	}
	if t.manager.GetString(ctx, idKey) == "" {
		return v, problem.VisitorUnknown // revoked in the meantime
	}
	if !t.manager.GetBool(ctx, provisionalKey) {
		v.Provisional, until = false, time.Now().Add(t.ttl) // promoted since v was read
	}
	t.manager.Put(ctx, provisionalKey, v.Provisional)
	t.manager.SetDeadline(ctx, until)
	v.Token, v.ExpiresAt, err = t.manager.Commit(ctx)
	return v, err
}

// Promote extends the token of a visitor who has a session to the full TTL.
func (t *Tokens) Promote(ctx context.Context, v Visitor) (Visitor, error) {
	if !v.Provisional {
		return v, nil
	}
	v.Provisional = false
	return t.Extend(ctx, v)
}

// Revoke revokes a token.
func (t *Tokens) Revoke(ctx context.Context, token string) error {
	ctx, err := t.manager.Load(context.WithoutCancel(ctx), token)
	if err != nil {
		return err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.manager.Destroy(ctx)
}

// Reassign gives the website's user subject a new id in place of old, whose visitor was
// erased.
func (t *Tokens) Reassign(ctx context.Context, subject, old string) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), storeTimeout)
	defer cancel()
	row := t.identity(subject)
	for {
		stored, fresh, err := t.store.BeginNote(ctx, row)
		if err != nil || fresh || stored.Body != old {
			return err
		}
		stored.Body, stored.ExpiresAt = row.Body, row.ExpiresAt
		_, err = t.store.SaveNote(ctx, stored)
		if !errors.Is(err, store.ErrConflict) && !errors.Is(err, store.ErrNotFound) {
			return err
		}
	}
}

// identity returns the row of the website's user subject, with a new id.
func (t *Tokens) identity(subject string) store.Note {
	sum := sha256.Sum256([]byte("identity\x00" + subject))
	return store.Note{
		Visitor: "identity:" + hex.EncodeToString(sum[:]), Kind: noteIdentity, Key: idKey, Body: NewID(),
		ExpiresAt: time.Now().Add(t.ttl + t.ttl/5),
	}
}

// Identified returns the visitor id of the website's user subject, the same on every
// device and replica. The store contains only a hash of the subject. The row outlives
// every token that was issued for it.
func (t *Tokens) Identified(ctx context.Context, subject string) (id string, err error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), storeTimeout)
	defer cancel()
	row := t.identity(subject)
	for {
		row.ExpiresAt = time.Now().Add(t.ttl + t.ttl/5)
		stored, fresh, err := t.store.BeginNote(ctx, row)
		if err != nil || fresh || time.Until(stored.ExpiresAt) > t.ttl+t.ttl/10 {
			return stored.Body, err
		}
		stored.ExpiresAt = row.ExpiresAt
		_, err = t.store.SaveNote(ctx, stored)
		if !errors.Is(err, store.ErrConflict) && !errors.Is(err, store.ErrNotFound) {
			return stored.Body, err
		}
	}
}
