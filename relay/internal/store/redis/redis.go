// Package redis is a [store.Store] in Redis or Valkey.
package redis

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/anyframe-relay/relay/relay/internal/store"
	"github.com/redis/go-redis/v9"
	"github.com/sony/gobreaker/v2"
)

// fenceMemory is how long the last fence and ticket are kept. Leases and admissions are
// shorter than that.
const fenceMemory = 30 * 24 * time.Hour

// Store is a [store.Store] in a Redis or Valkey server that relays on several machines
// share.
//
// Every key has a prefix and, except those of records, a TTL. The keys of one visitor
// share a hash tag, as do those of all leases, and those of all records of a kind. Rows
// expire by the server's clock, which should be within a second or two of ours; leases
// depend on the server's clock alone.
//
// A call takes little longer than the timeouts of the connection. While the circuit
// breaker is open, it fails immediately: see [Open].
type Store struct {
	client  redis.UniversalClient
	prefix  string
	self    string // identifies this process to other subscribers
	breaker *gobreaker.TwoStepCircuitBreaker[any]

	generation atomic.Int64 // number of calls of Generation

	mu     sync.RWMutex // read-locked during a call, so that Close waits for it
	closed bool
}

func (s *Store) tokenKey(token string) string     { return s.prefix + "t:" + token }
func (s *Store) sessionKey(visitor string) string { return s.prefix + "{" + visitor + "}s" }
func (s *Store) leaseKey(name string) string      { return s.prefix + "{lease}:" + name }
func (s *Store) fenceKey() string                 { return s.prefix + "{lease}" }

// call runs f, unless ctx has ended, the store is closed or the circuit breaker
// is open. It adds what the call was doing to the error, and [store.ErrUnavailable]
// if the server is the cause.
func (s *Store) call(ctx context.Context, doing string, f func() error) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("store: %s: %w", doing, err)
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.closed {
		return store.ErrClosed
	}
	done, err := s.breaker.Allow()
	if err != nil {
		return fmt.Errorf("store: %s: %w: %w", doing, store.ErrUnavailable, err)
	}
	err = f()
	if err == redis.Nil { //nolint:errorlint // wrapped in another error, it is a sentinel's reply
		done(nil)
		return redis.Nil
	}
	if errors.Is(err, redis.Nil) {
		err = errNoMaster
	}
	away := unreachable(err)
	switch {
	case err == nil, !away:
		done(nil)
	case errors.Is(ctx.Err(), context.Canceled):
		done(context.Canceled) // canceled by the caller: does not count against the server
	default:
		done(err)
	}
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return store.Unavailable(ctx, doing)
	case away:
		return fmt.Errorf("store: %s: %w: %w", doing, store.ErrUnavailable, err)
	default:
		return fmt.Errorf("store: %s: %w", doing, err)
	}
}

// run runs a script that returns a number.
func (s *Store) run(ctx context.Context, doing string, script *redis.Script, keys []string, args ...any) (n int64, err error) {
	err = s.call(ctx, doing, func() error {
		n, err = script.Run(ctx, s.client, keys, args...).Int64()
		return err
	})
	return n, err
}

// format is the version of the storage format. It increases when an earlier build could
// not read the rows, or would ignore rows of a new kind: format 3 added records. Builds
// before format 2 did not store it.
const format = 3

// KEYS: format. ARGV: our format. Returns the stored format if that is newer. Like
// records, it has no TTL.
var luaPing = redis.NewScript(`
local have = tonumber(redis.call('GET', KEYS[1]) or '0')
if have > tonumber(ARGV[1]) then
	return have
end
redis.call('SET', KEYS[1], ARGV[1])
return 0
`)

// Ping implements [store.Store]. It also fails if a relay of a newer build has
// stored rows that this one may not be able to read.
func (s *Store) Ping(ctx context.Context) error {
	newer, err := s.run(ctx, "ping", luaPing, []string{s.prefix + "format"}, format)
	if err == nil && newer > 0 {
		err = fmt.Errorf("store: the data in Redis has format %d, but this relay supports only up to %d: use a newer relay", newer, format)
	}
	return err
}

// Scrub implements [store.Store]. Redis removes deleted data from memory immediately; it
// rewrites its snapshots and append-only files on its own schedule.
func (s *Store) Scrub(ctx context.Context) error { return s.Ping(ctx) }

// Close implements [store.Store].
func (s *Store) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil
	}
	s.closed = true
	return s.client.Close()
}
