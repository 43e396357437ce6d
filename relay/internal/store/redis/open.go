package redis

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/anyframe-relay/relay/relay/internal/store"
	"github.com/redis/go-redis/v9"
	"github.com/sony/gobreaker/v2"
)

const (
	// defaultWait is how long a call waits for a connection, and again for the
	// reply, unless the URL sets other timeouts. A visitor waits for the call,
	// so the two together stay under a second.
	defaultWait = 400 * time.Millisecond

	// After breakerFailures consecutive failures the circuit breaker opens, and calls
	// fail immediately for breakerOpenFor. Then one trial call is let through.
	breakerFailures = 5
	breakerOpenFor  = time.Second
)

// DefaultPrefix is the default prefix of all keys.
const DefaultPrefix = "relay:"

// Open opens the store at url with keys that begin with prefix. The url has the format of
// go-redis: redis:// or rediss:// with user, password and database. With master_name it
// lists sentinels, with addr the nodes of a cluster. Open succeeds while the server is
// unreachable: calls return [store.ErrUnavailable] until it recovers. Errors do not
// contain the url, which may include a password.
func Open(ctx context.Context, url, prefix string) (*Store, error) {
	s, err := connect(url, prefix)
	if err != nil {
		return nil, fmt.Errorf("store: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, 4*defaultWait)
	defer cancel()
	err = s.Ping(ctx)
	if mistake := wrongAddress(err); mistake != nil {
		return nil, errors.Join(mistake, s.Close())
	}
	return s, nil
}

// wrongAddress returns err, with advice, if it is caused by a mistake in the url. It
// returns nil if err is nil or the server is unreachable.
func wrongAddress(err error) error {
	_, moved := redis.IsMovedError(err)
	unknown := err != nil && strings.Contains(err.Error(), "ERR unknown command")
	switch {
	case moved:
		return fmt.Errorf("%w: this is a cluster node; add addr=HOST:PORT to the address, with another node or this one", err)
	case unknown && strings.Contains(err.Error(), "get-master-addr-by-name"):
		return fmt.Errorf("%w: this is not a sentinel; remove master_name from the address", err)
	case unknown:
		return fmt.Errorf("%w: this may be a sentinel; if so, add master_name to the address", err)
	case errors.Is(err, errNoMaster), redis.IsAuthError(err), redis.IsPermissionError(err), !errors.Is(err, store.ErrUnavailable):
		return err
	}
	return nil
}

// Valid returns what is wrong with url or prefix. It does not connect.
func Valid(url, prefix string) error {
	s, err := connect(url, prefix)
	if err != nil {
		return err
	}
	return s.Close()
}

// connect returns a store whose client connects with the first call.
func connect(url, prefix string) (*Store, error) {
	if strings.ContainsAny(prefix, "{}") {
		return nil, errors.New("a key prefix must not contain braces, which have a special meaning in a cluster")
	}
	client, err := newClient(url)
	if err != nil {
		return nil, err
	}
	return &Store{client: client, prefix: prefix, self: rand.Text(), breaker: gobreaker.NewTwoStepCircuitBreaker[any](gobreaker.Settings{
		Name: "redis", MaxRequests: 1, Timeout: breakerOpenFor,
		ReadyToTrip: func(c gobreaker.Counts) bool { return c.ConsecutiveFailures >= breakerFailures },
		IsExcluded:  func(err error) bool { return errors.Is(err, context.Canceled) },
	})}, nil
}
