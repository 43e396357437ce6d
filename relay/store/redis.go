package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/sony/gobreaker/v2"
)

// fenceMemory is how long the last fence is remembered. No lease lasts as long.
const fenceMemory = 30 * 24 * time.Hour

// Redis is a [Store] in a Redis or Valkey server, for relays on many machines.
//
// Every key has a prefix and a time to live. What belongs to one visitor shares
// a hash tag, and so do all leases. Rows expire by the server's clock, which
// should agree with ours to a second or two; leases last by the server's alone.
//
// A call never takes much longer than the timeouts of the connection, and none
// at all while the server is known to be away: see [OpenRedis].
type Redis struct {
	client  redis.UniversalClient
	prefix  string
	self    string // this process, to others that hear it
	breaker *gobreaker.TwoStepCircuitBreaker[any]

	mu     sync.RWMutex // read while a call runs, so that Close waits for it
	closed bool
}

func (s *Redis) tokenKey(token string) string     { return s.prefix + "t:" + token }
func (s *Redis) sessionKey(visitor string) string { return s.prefix + "{" + visitor + "}s" }
func (s *Redis) indexKey(visitor string) string   { return s.prefix + "{" + visitor + "}i" }
func (s *Redis) orderKey(visitor string) string   { return s.prefix + "{" + visitor + "}o" }
func (s *Redis) leaseKey(name string) string      { return s.prefix + "{lease}:" + name }
func (s *Redis) fenceKey() string                 { return s.prefix + "{lease}" }
func (s *Redis) notesKey(visitor string) string   { return s.prefix + "{" + visitor + "}n:" }
func (s *Redis) noteKey(visitor, kind, key string) string {
	return s.notesKey(visitor) + indexed(kind) + ":" + key
}

// indexed is a kind as an index has it: without a colon.
func indexed(kind string) string { return url.QueryEscape(kind) }

// wide is a number of an index, in as many digits as any.
func wide(n int64) string { return fmt.Sprintf("%020d", n) }

// call runs f, unless the call is void already or the server is known to be
// away. It says what we were doing, and whether the server is to blame.
func (s *Redis) call(ctx context.Context, doing string, f func() error) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("store: %s: %w", doing, err)
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.closed {
		return ErrClosed
	}
	done, err := s.breaker.Allow()
	if err != nil {
		return fmt.Errorf("store: %s: %w: %w", doing, ErrUnavailable, err)
	}
	err = f()
	if err == redis.Nil { //nolint:errorlint // inside another error it is a sentinel's answer, not ours
		done(nil)
		return redis.Nil
	}
	if errors.Is(err, redis.Nil) {
		err = errNoMaster
	}
	away := redisAway(err)
	switch {
	case err == nil, !away:
		done(nil)
	case errors.Is(ctx.Err(), context.Canceled):
		done(context.Canceled) // by whoever called: says nothing of the server
	default:
		done(err)
	}
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return unavailable(ctx, doing)
	case away:
		return fmt.Errorf("store: %s: %w: %w", doing, ErrUnavailable, err)
	default:
		return fmt.Errorf("store: %s: %w", doing, err)
	}
}

// run runs a script whose answer is a number.
func (s *Redis) run(ctx context.Context, doing string, script *redis.Script, keys []string, args ...any) (n int64, err error) {
	err = s.call(ctx, doing, func() error {
		n, err = script.Run(ctx, s.client, keys, args...).Int64()
		return err
	})
	return n, err
}

// Find implements scs.Store.
func (s *Redis) Find(token string) ([]byte, bool, error) {
	return s.FindCtx(context.Background(), token)
}

// FindCtx implements scs.CtxStore.
func (s *Redis) FindCtx(ctx context.Context, token string) (b []byte, found bool, err error) {
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
func (s *Redis) Commit(token string, b []byte, expiry time.Time) error {
	return s.CommitCtx(context.Background(), token, b, expiry)
}

// CommitCtx implements scs.CtxStore.
func (s *Redis) CommitCtx(ctx context.Context, token string, b []byte, expiry time.Time) error {
	if !millis(expiry).After(time.Now()) {
		return ErrExpired
	}
	return s.call(ctx, "commit token", func() error {
		return s.client.Do(ctx, "SET", s.tokenKey(token), b, "PXAT", expiry.UnixMilli()).Err()
	})
}

// Delete implements scs.Store.
func (s *Redis) Delete(token string) error {
	return s.DeleteCtx(context.Background(), token)
}

// DeleteCtx implements scs.CtxStore.
func (s *Redis) DeleteCtx(ctx context.Context, token string) error {
	return s.call(ctx, "delete token", func() error {
		return s.client.Del(ctx, s.tokenKey(token)).Err()
	})
}

// redisNote is a note as Redis keeps it, beside what its scripts look at.
type redisNote struct {
	Seq   int64  `json:"q,omitempty"`
	State string `json:"s,omitempty"`
	Hash  string `json:"h,omitempty"`
	Body  string `json:"b,omitempty"`
}

func packNote(n Note) (string, error) {
	b, err := json.Marshal(redisNote{n.Seq, n.State, n.Hash, n.Body})
	return string(b), err
}

func unpackNote(visitor, kind, key, raw string) (Note, error) {
	n := Note{Visitor: visitor, Kind: kind, Key: key}
	part := strings.SplitN(raw, " ", 6)
	if len(part) != 6 {
		return Note{}, errors.New("store: a note is not readable")
	}
	var numbers [5]int64
	for i := range numbers {
		var err error
		if numbers[i], err = strconv.ParseInt(part[i], 10, 64); err != nil {
			return Note{}, errors.New("store: a note is not readable")
		}
	}
	var row redisNote
	if err := json.Unmarshal([]byte(part[5]), &row); err != nil {
		return Note{}, fmt.Errorf("store: a note is not readable: %w", err)
	}
	n.Version, n.Epoch = numbers[0], numbers[2]
	n.CreatedAt, n.ExpiresAt = fromMillis(numbers[3]), fromMillis(numbers[4])
	n.Seq, n.State, n.Hash, n.Body = row.Seq, row.State, row.Hash, row.Body
	return n, nil
}

// BeginNote implements [Store].
func (s *Redis) BeginNote(ctx context.Context, n Note) (Note, bool, error) {
	now := time.Now()
	n.ExpiresAt = millis(n.ExpiresAt)
	if !n.ExpiresAt.After(now) {
		return Note{}, false, ErrExpired
	}
	n.CreatedAt = millis(now)
	n.Version = newVersion()
	body, err := packNote(n)
	if err != nil {
		return Note{}, false, fmt.Errorf("store: begin note: %w", err)
	}
	var raw string
	err = s.call(ctx, "begin note", func() (err error) {
		raw, err = luaBeginNote.Run(ctx, s.client,
			[]string{s.noteKey(n.Visitor, n.Kind, n.Key), s.indexKey(n.Visitor), s.orderKey(n.Visitor)},
			n.Version, wide(n.Epoch), n.CreatedAt.UnixMilli(), n.ExpiresAt.UnixMilli(), body, indexed(n.Kind), n.Key).Text()
		return err
	})
	if errors.Is(err, redis.Nil) {
		return n, true, nil
	}
	if err != nil {
		return Note{}, false, err
	}
	old, err := unpackNote(n.Visitor, n.Kind, n.Key, raw)
	return old, false, err
}

// SaveNote implements [Store].
func (s *Redis) SaveNote(ctx context.Context, n Note) (Note, error) {
	n.ExpiresAt = millis(n.ExpiresAt)
	if !n.ExpiresAt.After(time.Now()) {
		return Note{}, ErrExpired
	}
	old := n.Version
	n.Version = newVersion()
	body, err := packNote(n)
	if err != nil {
		return Note{}, fmt.Errorf("store: save note: %w", err)
	}
	created, err := s.run(ctx, "save note", luaSaveNote,
		[]string{s.noteKey(n.Visitor, n.Kind, n.Key), s.indexKey(n.Visitor), s.orderKey(n.Visitor)},
		old, n.Version, wide(n.Epoch), n.ExpiresAt.UnixMilli(), body, indexed(n.Kind), n.Key)
	if err = noteError(created, err); err != nil {
		return Note{}, err
	}
	n.CreatedAt = fromMillis(created)
	return n, nil
}

// noteError is what a script's answer about a note means.
func noteError(answer int64, err error) error {
	switch {
	case err != nil:
		return err
	case answer == 0:
		return ErrNotFound
	case answer < 0:
		return ErrConflict
	}
	return nil
}

// Note implements [Store].
func (s *Redis) Note(ctx context.Context, visitor, kind, key string) (Note, error) {
	var raw string
	err := s.call(ctx, "read note", func() (err error) {
		raw, err = s.client.Get(ctx, s.noteKey(visitor, kind, key)).Result()
		return err
	})
	if errors.Is(err, redis.Nil) {
		return Note{}, ErrNotFound
	}
	if err != nil {
		return Note{}, err
	}
	return unpackNote(visitor, kind, key, raw)
}

// Notes implements [Store].
func (s *Redis) Notes(ctx context.Context, visitor, kind string, epoch int64) ([]Note, error) {
	from := indexed(kind) + ":" + wide(epoch)
	var rows []string
	err := s.call(ctx, "read notes", func() (err error) {
		// A semicolon is what comes after a colon.
		rows, err = luaNotes.Run(ctx, s.client, []string{s.indexKey(visitor)},
			"["+from+":", "("+from+";", s.noteKey(visitor, kind, "")).StringSlice()
		return err
	})
	if err != nil {
		return nil, err
	}
	notes := make([]Note, 0, len(rows)/2)
	for i := 0; i+1 < len(rows); i += 2 {
		n, err := unpackNote(visitor, kind, rows[i], rows[i+1])
		if err != nil {
			return nil, err
		}
		notes = append(notes, n)
	}
	return notes, nil
}

// Forget implements [Store].
func (s *Redis) Forget(ctx context.Context, visitor string) error {
	_, err := s.run(ctx, "forget visitor", luaForget,
		[]string{s.sessionKey(visitor), s.indexKey(visitor), s.orderKey(visitor)}, s.notesKey(visitor))
	return err
}

// Acquire implements [Store].
func (s *Redis) Acquire(ctx context.Context, name, owner string, ttl time.Duration) (fence int64, ok bool, err error) {
	if ttl <= 0 {
		return 0, false, ErrExpired
	}
	fence, err = s.run(ctx, "acquire lease", luaAcquire, []string{s.leaseKey(name), s.fenceKey()},
		owner, max(ttl, time.Millisecond).Milliseconds(), fenceMemory.Milliseconds())
	return fence, fence > 0, err
}

// Release implements [Store].
func (s *Redis) Release(ctx context.Context, name, owner string) error {
	_, err := s.run(ctx, "release lease", luaRelease, []string{s.leaseKey(name)}, owner)
	return err
}

// Ping implements [Store].
func (s *Redis) Ping(ctx context.Context) error {
	return s.call(ctx, "ping", func() error {
		now := time.Now()
		return s.client.Do(ctx, "SET", s.prefix+"ping", now.UnixMilli(), "PXAT", now.Add(time.Hour).UnixMilli()).Err()
	})
}

// Close implements [Store].
func (s *Redis) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil
	}
	s.closed = true
	return s.client.Close()
}
