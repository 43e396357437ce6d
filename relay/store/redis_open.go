package store

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/logging"
	"github.com/redis/go-redis/v9/maintnotifications"
	"github.com/sony/gobreaker/v2"
)

const (
	// redisWait is how long a call waits for a connection, and again for the
	// server's answer, unless the address says otherwise. A visitor waits for
	// it, so the two together stay under a second.
	redisWait = 400 * time.Millisecond

	// After redisFailures in a row the server is taken to be away, and no call
	// is made for redisOpenFor; then one may try.
	redisFailures = 5
	redisOpenFor  = time.Second
)

// DefaultRedisPrefix precedes every key unless another is asked for.
const DefaultRedisPrefix = "relay:"

// OpenRedis opens the store at url, whose keys begin with prefix. The url is one
// of go-redis's: redis:// or rediss:// with user, password and database; with
// master_name it names sentinels, with addr the nodes of a cluster. A server
// that is away is no error: calls return [ErrUnavailable] until it is back.
// Errors never show the url, which may hold a password.
func OpenRedis(ctx context.Context, url, prefix string) (*Redis, error) {
	s, err := newRedis(url, prefix)
	if err != nil {
		return nil, fmt.Errorf("store: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, 4*redisWait)
	defer cancel()
	err = s.Ping(ctx)
	if mistake := wrongAddress(err); mistake != nil {
		return nil, errors.Join(mistake, s.Close())
	}
	return s, nil
}

// wrongAddress returns what is wrong with the address by which err came about,
// or nil if there was none or the server is away.
func wrongAddress(err error) error {
	_, moved := redis.IsMovedError(err)
	unknown := err != nil && strings.Contains(err.Error(), "ERR unknown command")
	switch {
	case moved:
		return fmt.Errorf("%w: this is a node of a cluster, whose address names one more, or itself again, with addr", err)
	case unknown && strings.Contains(err.Error(), "get-master-addr-by-name"):
		return fmt.Errorf("%w: this is no sentinel, and the address of another server has no master_name", err)
	case unknown:
		return fmt.Errorf("%w: this may be a sentinel, whose address has a master_name", err)
	case errors.Is(err, errNoMaster), redis.IsAuthError(err), redis.IsPermissionError(err), !errors.Is(err, ErrUnavailable):
		return err
	}
	return nil
}

func newRedis(url, prefix string) (*Redis, error) {
	if strings.ContainsAny(prefix, "{}") {
		return nil, errors.New("a prefix of keys holds no braces, which have a meaning in a cluster")
	}
	client, err := newRedisClient(url)
	if err != nil {
		return nil, err
	}
	return &Redis{client: client, prefix: prefix, self: rand.Text(), breaker: gobreaker.NewTwoStepCircuitBreaker[any](gobreaker.Settings{
		Name: "redis", MaxRequests: 1, Timeout: redisOpenFor,
		ReadyToTrip: func(c gobreaker.Counts) bool { return c.ConsecutiveFailures >= redisFailures },
		IsExcluded:  func(err error) bool { return errors.Is(err, context.Canceled) },
	})}, nil
}

// newRedisClient makes the client that address describes. It connects to
// nothing yet.
func newRedisClient(address string) (redis.UniversalClient, error) {
	logging.Disable() // it writes to stderr what its calls return anyway
	u, err := url.Parse(address)
	if err != nil || u.Opaque != "" {
		return nil, errors.New("the address of Redis is not a URL such as redis://user:password@host:6379/0")
	}
	switch q := u.Query(); {
	case q.Has("master_name") && q.Get("master_name") == "":
		return nil, errors.New("the address of Redis has no name after master_name=")
	case q.Has("master_name"):
		o, err := redis.ParseFailoverURL(address)
		if err != nil {
			return nil, redisURLError(err)
		}
		if o.ReplicaOnly || o.RouteByLatency || o.RouteRandomly {
			return nil, errStaleReads
		}
		tune(&o.MaxRetries, &o.DialerRetries, &o.PipelinePoolSize, &o.DialTimeout, &o.ReadTimeout, &o.WriteTimeout, &o.PoolTimeout)
		o.ContextTimeoutEnabled = true
		return redis.NewFailoverClient(o), nil
	case q.Has("addr"):
		o, err := redis.ParseClusterURL(address)
		if err != nil {
			return nil, redisURLError(err)
		}
		if strings.Trim(u.Path, "/0") != "" {
			return nil, errors.New("the address of Redis names a database, and a cluster has only one")
		}
		if o.ReadOnly || o.RouteByLatency || o.RouteRandomly {
			return nil, errStaleReads
		}
		tune(&o.MaxRetries, &o.DialerRetries, &o.PipelinePoolSize, &o.DialTimeout, &o.ReadTimeout, &o.WriteTimeout, &o.PoolTimeout)
		o.ContextTimeoutEnabled = true
		o.MaintNotificationsConfig = noNotices()
		cluster := redis.NewClusterClient(o)
		cluster.AddHook(once{cluster, o.DialTimeout + o.ReadTimeout})
		return cluster, nil
	default:
		o, err := redis.ParseURL(address)
		if err != nil {
			return nil, redisURLError(err)
		}
		tune(&o.MaxRetries, &o.DialerRetries, &o.PipelinePoolSize, &o.DialTimeout, &o.ReadTimeout, &o.WriteTimeout, &o.PoolTimeout)
		o.ContextTimeoutEnabled = true
		o.MaintNotificationsConfig = noNotices()
		return redis.NewClient(o), nil
	}
}

// tune sets what the address left open so that a call fails fast and is made
// once: a script that ran must not run again because its answer was lost.
func tune(retries, dials, pipelines *int, waits ...*time.Duration) {
	*retries, *pipelines = -1, -1
	if *dials == 0 {
		*dials = 1
	}
	for _, d := range waits {
		if *d == 0 {
			*d = redisWait
		}
	}
}

// once makes a call to a cluster once, for the client would make it again at the
// same node and then at others. Only a node that points to another is obeyed: it
// has done nothing. So that looking for nodes takes no longer either, the call
// ends with the limit; and as one that failed may have a successor by now, it is
// looked for.
type once struct {
	cluster *redis.ClusterClient
	limit   time.Duration
}

// ProcessHook implements [redis.Hook].
func (o once) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		ctx, cancel := context.WithTimeout(ctx, o.limit)
		defer cancel()
		err := next(ctx, unrepeated{cmd})
		if redisAway(err) {
			o.cluster.ReloadState(ctx)
		}
		return err
	}
}

// DialHook implements [redis.Hook].
func (once) DialHook(next redis.DialHook) redis.DialHook { return next }

// ProcessPipelineHook implements [redis.Hook].
func (once) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return next
}

// unrepeated is a command that the client does not make again by itself.
type unrepeated struct{ redis.Cmder }

func (unrepeated) NoRetry() bool { return true }

func noNotices() *maintnotifications.Config {
	return &maintnotifications.Config{Mode: maintnotifications.ModeDisabled}
}

// errNoMaster stands for a missing name among the sentinels.
var errNoMaster = errors.New("the sentinels know no master of the name in master_name")

var errStaleReads = errors.New("the address of Redis asks for reads from replicas, which may be old")

// redisURLError is what is wrong with an address that is a URL. It quotes
// neither user nor password.
func redisURLError(err error) error { return fmt.Errorf("the address of Redis: %w", err) }

// redisAway reports whether err says that the server cannot be reached or does
// not serve us, rather than that we asked wrongly.
func redisAway(err error) bool {
	if err == nil || errors.Is(err, redis.Nil) {
		return false
	}
	said, ok := errors.AsType[redis.Error](err)
	if !ok {
		return true
	}
	return !strings.HasPrefix(said.Error(), "ERR ") && !strings.HasPrefix(said.Error(), "WRONGTYPE ")
}
