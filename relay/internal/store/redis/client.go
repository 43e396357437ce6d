package redis

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/logging"
	"github.com/redis/go-redis/v9/maintnotifications"
)

// newClient returns a client for address. It does not connect yet.
func newClient(address string) (redis.UniversalClient, error) {
	logging.Disable() // the client logs to stderr the errors that its calls return
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
			return nil, urlError(err)
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
			return nil, urlError(err)
		}
		if strings.Trim(u.Path, "/0") != "" {
			return nil, errors.New("the address of Redis has a database number, but a cluster has only database 0")
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
			return nil, urlError(err)
		}
		tune(&o.MaxRetries, &o.DialerRetries, &o.PipelinePoolSize, &o.DialTimeout, &o.ReadTimeout, &o.WriteTimeout, &o.PoolTimeout)
		o.ContextTimeoutEnabled = true
		o.MaintNotificationsConfig = noNotices()
		return redis.NewClient(o), nil
	}
}

// tune sets defaults for what the address does not set, so that a call fails fast and is
// not retried: a script must not run again because its reply was lost.
func tune(retries, dials, pipelines *int, waits ...*time.Duration) {
	*retries, *pipelines = -1, -1
	if *dials == 0 {
		*dials = 1
	}
	for _, d := range waits {
		if *d == 0 {
			*d = defaultWait
		}
	}
}

// once makes each call to a cluster once. The client itself would retry it at the same
// node and then at others. Only redirections are followed, because a node that redirects
// has not executed the call. The limit also bounds the discovery of nodes. After a failed
// call the topology is reloaded, because the node may have been replaced.
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
		if unreachable(err) {
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

// unrepeated is a command that the client does not retry.
type unrepeated struct{ redis.Cmder }

func (unrepeated) NoRetry() bool { return true }

func noNotices() *maintnotifications.Config {
	return &maintnotifications.Config{Mode: maintnotifications.ModeDisabled}
}

// errNoMaster is the error if the sentinels do not monitor master_name.
var errNoMaster = errors.New("the sentinels have no master with the name in master_name")

var errStaleReads = errors.New("the address of Redis enables reads from replicas, which may return stale data")

// urlError describes what is wrong with an address that is a URL. It contains
// neither user nor password.
func urlError(err error) error { return fmt.Errorf("the address of Redis: %w", err) }

// unreachable reports whether err means that the server cannot be reached or refuses to
// serve us, rather than that the command was wrong.
func unreachable(err error) bool {
	if err == nil || errors.Is(err, redis.Nil) {
		return false
	}
	said, ok := errors.AsType[redis.Error](err)
	if !ok {
		return true
	}
	return !strings.HasPrefix(said.Error(), "ERR ") && !strings.HasPrefix(said.Error(), "WRONGTYPE ")
}
