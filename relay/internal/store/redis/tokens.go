package redis

import (
	"context"
	"errors"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/anyframe-relay/relay/relay/internal/store"
)

// Find implements scs.Store.
func (s *Store) Find(token string) ([]byte, bool, error) {
	return s.FindCtx(context.Background(), token)
}

// FindCtx implements scs.CtxStore.
func (s *Store) FindCtx(ctx context.Context, token string) (b []byte, found bool, err error) {
	err = s.call(ctx, "find token", func() error {
		b, err = s.client.Get(ctx, s.tokenKey(token)).Bytes()
		return err
	})
	if errors.Is(err, redis.Nil) {
		return nil, false, nil
	}
	return b, err == nil, err
}

// Commit implements scs.Store.
func (s *Store) Commit(token string, b []byte, expiry time.Time) error {
	return s.CommitCtx(context.Background(), token, b, expiry)
}

// CommitCtx implements scs.CtxStore.
func (s *Store) CommitCtx(ctx context.Context, token string, b []byte, expiry time.Time) error {
	if !store.Millis(expiry).After(time.Now()) {
		return store.ErrExpired
	}
	return s.call(ctx, "commit token", func() error {
		return s.client.Do(ctx, "SET", s.tokenKey(token), b, "PXAT", expiry.UnixMilli()).Err()
	})
}

// Delete implements scs.Store.
func (s *Store) Delete(token string) error {
	return s.DeleteCtx(context.Background(), token)
}

// DeleteCtx implements scs.CtxStore.
func (s *Store) DeleteCtx(ctx context.Context, token string) error {
	return s.call(ctx, "delete token", func() error {
		return s.client.Del(ctx, s.tokenKey(token)).Err()
	})
}
