// Package device tracks which of a visitor's tokens have open event streams. A visitor
// identified by the website has a token on every device. Signing out revokes one of them
// and keeps the visitor: the streams that were opened with that token end, and the
// session continues.
//
// The package does not parse or validate tokens: the caller passes a function for that. A
// [Set]'s lock is a leaf, and is not held while that function runs.
package device

import (
	"context"
	"errors"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
)

// Set holds the tokens that have open streams. The zero Set is empty; it is safe for
// concurrent use.
type Set struct {
	mu  sync.Mutex // guards all; a device is in the map exactly while it has streams
	all map[string]*Device
}

// Device is one token that has open streams.
type Device struct {
	streams int // guarded by Set.mu
	void    atomic.Bool
}

// Void reports whether the token was revoked. It returns false for a nil Device.
func (d *Device) Void() bool { return d != nil && d.void.Load() }

// Attach counts a stream that is opened with a token. The caller must call Detach, and
// must check after Attach that the token is still valid.
func (s *Set) Attach(token string) *Device {
	s.mu.Lock()
	defer s.mu.Unlock()
	d := s.all[token]
	if d == nil {
		if s.all == nil {
			s.all = map[string]*Device{}
		}
		d = &Device{}
		s.all[token] = d
	}
	d.streams++
	return d
}

// Detach undoes one Attach.
func (s *Set) Detach(token string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if d := s.all[token]; d != nil {
		if d.streams--; d.streams == 0 {
			delete(s.all, token)
		}
	}
}

// Revoke marks a token as revoked, and reports whether it has open streams. Those end
// when they next check Void.
func (s *Set) Revoke(token string) bool {
	s.mu.Lock()
	d := s.all[token]
	s.mu.Unlock()
	if d == nil {
		return false
	}
	d.void.Store(true)
	return true
}

// Check calls valid for each token, and marks the invalid ones as revoked. It reports
// whether there were any. If valid fails for a token, Check leaves the token unchanged
// and returns that error.
func (s *Set) Check(ctx context.Context, valid func(context.Context, string) (bool, error)) (revoked bool, err error) {
	for _, token := range s.Tokens() {
		good, failed := valid(ctx, token)
		if failed == nil && !good {
			revoked = s.Revoke(token) || revoked
		}
		err = errors.Join(err, failed)
	}
	return revoked, err
}

// Tokens returns the tokens that have open streams.
func (s *Set) Tokens() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Collect(maps.Keys(s.all))
}
