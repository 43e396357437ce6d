package store

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"time"
)

// NewVersion returns a version that no row has had before. Versions are random rather
// than counted, so that a row that was deleted and stored again never returns to a
// version that a caller still holds.
func NewVersion() int64 {
	var b [8]byte
	rand.Read(b[:])                                    // never fails: see crypto/rand
	return int64(binary.BigEndian.Uint64(b[:])>>1 | 1) //nolint:gosec // the shift leaves 63 bits
}

// Millis truncates t to the precision that every backend keeps.
func Millis(t time.Time) time.Time { return FromMillis(t.UnixMilli()) }

// FromMillis returns the time that is ms milliseconds after 1970, in UTC.
func FromMillis(ms int64) time.Time { return time.UnixMilli(ms).UTC() }

// Unavailable returns the error of a call whose context has ended: the caller canceled
// it, or the backend took too long.
func Unavailable(ctx context.Context, doing string) error {
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return fmt.Errorf("store: %s: %w: %w", doing, ErrUnavailable, ctx.Err())
	}
	return fmt.Errorf("store: %s: %w", doing, ctx.Err())
}
