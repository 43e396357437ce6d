package visitorctx

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/anyframe-relay/relay/anyframe"
	"github.com/anyframe-relay/relay/relay/internal/store"
)

// The kinds of records. Their owner is the visitor.
const (
	KindSent     = "context"  // what AnyFrame has, one per epoch
	KindVerified = "verified" // the context in the JWT with which a token was obtained, by a hash of the token
)

// Store stores records. It is part of [store.Store].
type Store interface {
	Record(ctx context.Context, kind, key string) (store.Record, error)
	SaveRecord(ctx context.Context, r store.Record) (store.Record, error)
	DeleteRecord(ctx context.Context, kind, key string, version int64) error
	RecordsOf(ctx context.Context, kind, owner, after string, limit int) ([]store.Record, error)
}

// Keeper stores contexts for TTL. It is safe for concurrent use, provided that each
// visitor's turns are sent one at a time.
type Keeper struct {
	Store Store
	TTL   time.Duration
}

// Both holds the context of each kind.
type Both struct {
	Verified Object `json:"verified,omitempty"`
	Page     Object `json:"page,omitempty"`
}

// sent is what is stored for an epoch. It is written before a turn carries a changed
// context, so that nothing has to be written afterwards: the turn's own record shows
// whether AnyFrame accepted it.
type sent struct {
	Last Both   `json:"last"`           // what AnyFrame had before
	Had  bool   `json:"had,omitempty"`  // whether it had anything
	Next *Both  `json:"next,omitempty"` // what Turn carries
	Turn string `json:"turn,omitempty"` // its key
}

// settle moves Next to Last if AnyFrame has accepted Turn.
func (s *sent) settle(ctx context.Context, accepted func(ctx context.Context, turn string) (bool, error)) error {
	if s.Next == nil {
		return nil
	}
	ok, err := accepted(ctx, s.Turn)
	if err != nil {
		return err
	}
	if ok {
		s.Last, s.Had = *s.Next, true
	}
	s.Next, s.Turn = nil, ""
	return nil
}

func keyOf(visitor string, epoch int64) string { return fmt.Sprintf("%s %020d", visitor, epoch) }

// Attach returns the attachment for a turn, or nil. There is one if the epoch's first
// accepted turn has a context, or if the context has changed since AnyFrame last accepted
// one. A page without a context leaves the previous one in place. Accepted reports
// whether AnyFrame has the turn with a key.
func (k *Keeper) Attach(ctx context.Context, visitor string, epoch int64, turn string, now Both,
	accepted func(ctx context.Context, turn string) (bool, error),
) (*anyframe.Attachment, error) {
	r, was, err := k.load(ctx, visitor, epoch)
	if err != nil {
		return nil, err
	}
	if err := was.settle(ctx, accepted); err != nil {
		return nil, err
	}
	if now.Page == "" {
		now.Page = was.Last.Page
	}
	now = Both{now.Verified.orEmpty(), now.Page.orEmpty()}
	have := Both{Empty, Empty}
	if was.Had {
		have = was.Last
	}
	if now == have {
		return nil, nil
	}
	was.Next, was.Turn = &now, turn
	body, err := json.Marshal(was)
	if err != nil {
		return nil, err
	}
	r.Body, r.ExpiresAt = string(body), time.Now().Add(k.TTL)
	if _, err := k.Store.SaveRecord(ctx, r); err != nil {
		return nil, err
	}
	a := Attachment(now.Verified, now.Page)
	return &a, nil
}

// load returns the record of an epoch. The record of a new epoch starts with the page's
// context of the previous epoch, which AnyFrame does not have yet.
func (k *Keeper) load(ctx context.Context, visitor string, epoch int64) (r store.Record, s sent, err error) {
	r, err = k.Store.Record(ctx, KindSent, keyOf(visitor, epoch))
	if err == nil {
		return r, s, json.Unmarshal([]byte(r.Body), &s)
	}
	if !errors.Is(err, store.ErrNotFound) {
		return r, s, err
	}
	r = store.Record{Kind: KindSent, Key: keyOf(visitor, epoch), Owner: visitor}
	if epoch <= 1 {
		return r, s, nil
	}
	before, err := k.Store.Record(ctx, KindSent, keyOf(visitor, epoch-1))
	if errors.Is(err, store.ErrNotFound) {
		return r, s, nil
	}
	if err != nil {
		return r, s, err
	}
	var old sent
	if err := json.Unmarshal([]byte(before.Body), &old); err != nil {
		return r, s, err
	}
	s.Last.Page = old.Last.Page
	if old.Next != nil {
		s.Last.Page = old.Next.Page
	}
	return r, s, nil
}

// LastSent returns the context that AnyFrame last accepted in an epoch, and false if
// there is none.
func (k *Keeper) LastSent(ctx context.Context, visitor string, epoch int64,
	accepted func(ctx context.Context, turn string) (bool, error),
) (Both, bool, error) {
	r, err := k.Store.Record(ctx, KindSent, keyOf(visitor, epoch))
	if errors.Is(err, store.ErrNotFound) {
		return Both{}, false, nil
	}
	if err != nil {
		return Both{}, false, err
	}
	var s sent
	if err := json.Unmarshal([]byte(r.Body), &s); err != nil {
		return Both{}, false, err
	}
	if err := s.settle(ctx, accepted); err != nil {
		return Both{}, false, err
	}
	return s.Last, s.Had, nil
}

// tokenKey returns the key under which a token is stored.
func tokenKey(token string) string {
	sum := sha256.Sum256([]byte("context " + token))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

// Verify stores the context from the JWT with which a visitor's token was obtained.
func (k *Keeper) Verify(ctx context.Context, visitor, token string, verified Object) error {
	key := tokenKey(token)
	for try := 0; ; try++ {
		r, err := k.Store.Record(ctx, KindVerified, key)
		switch {
		case errors.Is(err, store.ErrNotFound):
			if verified == "" {
				return nil
			}
			r = store.Record{Kind: KindVerified, Key: key}
		case err != nil:
			return err
		}
		if verified == "" {
			err = k.Store.DeleteRecord(ctx, r.Kind, r.Key, r.Version)
		} else {
			r.Owner, r.Body, r.ExpiresAt = visitor, string(verified), time.Now().Add(k.TTL)
			_, err = k.Store.SaveRecord(ctx, r)
		}
		if try > 2 || !errors.Is(err, store.ErrConflict) {
			return err
		}
	}
}

// Verified returns what [Keeper.Verify] stored for a token.
func (k *Keeper) Verified(ctx context.Context, token string) (Object, error) {
	r, err := k.Store.Record(ctx, KindVerified, tokenKey(token))
	if errors.Is(err, store.ErrNotFound) {
		return "", nil
	}
	return Object(r.Body), err
}
