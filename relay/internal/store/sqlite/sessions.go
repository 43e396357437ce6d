package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"github.com/anyframe-relay/relay/relay/internal/store"
)

// Find implements scs.Store.
func (s *Store) Find(token string) ([]byte, bool, error) {
	return s.FindCtx(context.Background(), token)
}

// FindCtx implements scs.CtxStore.
func (s *Store) FindCtx(ctx context.Context, token string) ([]byte, bool, error) {
	var b []byte
	err := s.find.QueryRowContext(ctx, token, time.Now().UnixMilli()).Scan(&b)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, false, nil
	}
	return b, err == nil, s.wrap(ctx, "find token", err)
}

// Commit implements scs.Store.
func (s *Store) Commit(token string, b []byte, expiry time.Time) error {
	return s.CommitCtx(context.Background(), token, b, expiry)
}

// CommitCtx implements scs.CtxStore.
func (s *Store) CommitCtx(ctx context.Context, token string, b []byte, expiry time.Time) error {
	now := time.Now()
	if !store.Millis(expiry).After(now) {
		return store.ErrExpired
	}
	if b == nil {
		b = []byte{} // nil would be stored as NULL
	}
	_, err := s.exec(ctx, now, s.commit, token, b, expiry.UnixMilli())
	return s.wrap(ctx, "commit token", err)
}

// Delete implements scs.Store.
func (s *Store) Delete(token string) error {
	return s.DeleteCtx(context.Background(), token)
}

// DeleteCtx implements scs.CtxStore.
func (s *Store) DeleteCtx(ctx context.Context, token string) error {
	_, err := s.exec(ctx, time.Now(), s.remove, token)
	return s.wrap(ctx, "delete token", err)
}

// Session implements [store.Store].
func (s *Store) Session(ctx context.Context, visitor string) (store.Session, error) {
	got := store.Session{Visitor: visitor}
	var updated, expires int64
	err := s.session.QueryRowContext(ctx, visitor, time.Now().UnixMilli()).Scan(
		&got.Epoch, &got.UpstreamID, &got.State, &got.LastSeq, &updated, &expires, &got.Version)
	if errors.Is(err, sql.ErrNoRows) {
		return store.Session{Visitor: visitor}, nil
	}
	if err != nil {
		return store.Session{}, s.wrap(ctx, "read session", err)
	}
	got.UpdatedAt, got.ExpiresAt = store.FromMillis(updated), store.FromMillis(expires)
	return got, nil
}

// SaveSession implements [store.Store].
func (s *Store) SaveSession(ctx context.Context, session store.Session) (store.Session, error) {
	now := time.Now()
	session.ExpiresAt = store.Millis(session.ExpiresAt)
	if !session.ExpiresAt.After(now) {
		return store.Session{}, store.ErrExpired
	}
	old := session.Version
	session.UpdatedAt = store.Millis(now)
	session.Version = store.NewVersion()
	args := []any{
		session.Visitor, session.Epoch, session.UpstreamID, session.State, session.LastSeq,
		now.UnixMilli(), session.ExpiresAt.UnixMilli(), session.Version,
	}
	stmt := s.insertSession
	if old != 0 {
		stmt, args = s.updateSession, append(args, old)
	}
	changed, err := s.exec(ctx, now, stmt, args...)
	if err != nil {
		return store.Session{}, s.wrap(ctx, "save session", err)
	}
	if changed == 0 {
		return store.Session{}, store.ErrConflict
	}
	return session, nil
}

// Forget implements [store.Store].
func (s *Store) Forget(ctx context.Context, visitor string) error {
	err := s.atomically(ctx, func(tx *sql.Tx) error {
		if _, err := tx.ExecContext(ctx, `DELETE FROM sessions WHERE visitor = ?`, visitor); err != nil {
			return err
		}
		_, err := tx.ExecContext(ctx, `DELETE FROM notes WHERE visitor = ?`, visitor)
		return err
	})
	return s.wrap(ctx, "forget visitor", err)
}
