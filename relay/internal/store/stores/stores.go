// Package stores opens a store by its URL.
package stores

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"time"

	"github.com/anyframe-relay/relay/relay/internal/store"
	"github.com/anyframe-relay/relay/relay/internal/store/memory"
	"github.com/anyframe-relay/relay/relay/internal/store/redis"
	"github.com/anyframe-relay/relay/relay/internal/store/sqlite"
)

// DefaultRedisPrefix is the default of [WithRedisPrefix].
const DefaultRedisPrefix = redis.DefaultPrefix

// Option configures one kind of store and is ignored by the others.
type Option func(*options)

type options struct{ redisPrefix string }

// WithRedisPrefix sets the prefix of all keys in Redis. The default is
// [DefaultRedisPrefix].
func WithRedisPrefix(prefix string) Option { return func(o *options) { o.redisPrefix = prefix } }

func optionsOf(opts []Option) options {
	o := options{redisPrefix: DefaultRedisPrefix}
	for _, opt := range opts {
		opt(&o)
	}
	return o
}

const kinds = "use memory:, sqlite:PATH, redis://… or rediss://…"

var schemePattern = regexp.MustCompile(`^[a-z][a-z0-9+.-]{0,15}$`)

// Open opens the store at url: "memory:" for one that ends with the process,
// "sqlite:PATH" for a file, "redis:" or "rediss:" as for [redis.Open]. Errors contain at
// most the scheme of url or the path of a file, because the rest may include a password.
func Open(ctx context.Context, url string, opts ...Option) (store.Store, error) {
	scheme, rest, ok := strings.Cut(url, ":")
	switch {
	case !ok:
		return nil, errors.New("store: " + kinds)
	case scheme == "memory" && rest == "":
		return memory.New(), nil
	case scheme == "memory":
		return nil, errors.New("store: memory: must not be followed by anything")
	case scheme == "sqlite":
		s, err := sqlite.Open(ctx, rest)
		if err != nil {
			return nil, err
		}
		return s, nil
	case scheme == "redis", scheme == "rediss":
		s, err := redis.Open(ctx, url, optionsOf(opts).redisPrefix)
		if err != nil {
			return nil, err
		}
		return s, nil
	case schemePattern.MatchString(scheme):
		return nil, fmt.Errorf("store: %s: is not supported; %s", scheme, kinds)
	default:
		return nil, errors.New("store: unknown kind; " + kinds)
	}
}

// Valid returns what is wrong with the syntax of url. It opens nothing.
func Valid(url string, opts ...Option) error {
	scheme, rest, _ := strings.Cut(url, ":")
	switch {
	case url == "memory:":
		return nil
	case scheme == "sqlite" && rest != "":
		return nil // Open checks the file
	case scheme == "redis", scheme == "rediss":
		return redis.Valid(url, optionsOf(opts).redisPrefix)
	default:
		return errors.New(kinds)
	}
}

// Check checks whether the store at url can be opened and written to. It creates and
// migrates no file. On success it returns a note about the store for the operator, which
// may be empty.
func Check(ctx context.Context, url string, opts ...Option) (note string, err error) {
	if path, ok := strings.CutPrefix(url, "sqlite:"); ok {
		return sqlite.Check(ctx, path)
	}
	s, err := Open(ctx, url, opts...)
	if err != nil {
		return "", err
	}
	if url == "memory:" {
		note = "in memory: visitors and their conversations are forgotten when the relay ends"
	}
	return note, errors.Join(s.Ping(ctx), s.Close())
}

// CountDue returns how many records of a kind are due at until in the store at url. It
// creates and migrates no file.
func CountDue(ctx context.Context, url, kind string, until time.Time, opts ...Option) (int, error) {
	if path, ok := strings.CutPrefix(url, "sqlite:"); ok {
		return sqlite.CountDue(ctx, path, kind, until)
	}
	s, err := Open(ctx, url, opts...)
	if err != nil {
		return 0, err
	}
	n, err := s.CountRecords(ctx, kind, until)
	return n, errors.Join(err, s.Close())
}
