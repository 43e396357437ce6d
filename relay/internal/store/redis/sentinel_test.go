package redis_test

import (
	"encoding/binary"
	"errors"
	"net"
	"strings"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/anyframe-relay/relay/relay/internal/store"
	"github.com/anyframe-relay/relay/relay/internal/store/redistest"
)

// Sentinels have their own users, as in docs/operating.md.
func TestOpen_Sentinels_Works(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	sentinel := redistest.StartSentinel(t, "visitors", 1, server)
	giveFewRights(t, server.Client())
	watcher := sentinel.Client()
	must(t, watcher.ACLSetUser(t.Context(), "watcher", "on", ">s@same", "allchannels", "+@all").Err())
	must(t, watcher.ACLSetUser(t.Context(), "default", "off").Err())
	url := strings.Replace(sentinel.URL(), "redis://"+sentinel.Addr, "redis://watcher:s%40same@"+sentinel.Addr+"/3", 1) +
		"&master_name=visitors&username=relay&password=p%40ss"
	wantWorks(t, open(t, url, "p:"))
	info := server.Client().Info(t.Context(), "keyspace").Val()
	if !strings.Contains(info, "db3:") || strings.Contains(info, "db0:") {
		t.Errorf("got keys %q, want all at the master in database 3", info)
	}
	wantRefused(t, strings.Replace(url, "p%40ss", "afm_secret", 1), "WRONGPASS")
	wantRefused(t, strings.Replace(url, "s%40same", "afm_secret", 1), "WRONGPASS")
	wantRefused(t, strings.Replace(url, "name=visitors", "name=others", 1), "no master")
}

// An unreachable master must not look like an empty store.
func TestSentinels_MasterUnknown_Unavailable(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	sentinel := redistest.StartSentinel(t, "visitors", 1, server)
	s := open(t, sentinel.URL()+"&master_name=visitors", "p:")
	saved, err := s.SaveSession(t.Context(), store.Session{Visitor: "v1", Epoch: 1, ExpiresAt: soon()})
	must(t, err)
	at := goredis.NewSentinelClient(&goredis.Options{Addr: sentinel.Addr})
	t.Cleanup(func() { _ = at.Close() })
	must(t, at.Remove(t.Context(), "visitors").Err())
	client := server.Client()
	eventually(t, "is away", func() bool {
		must(t, client.Do(t.Context(), "CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes").Err())
		got, err := s.Session(t.Context(), "v1")
		if err == nil && got != saved {
			t.Fatalf("got %+v, want %+v or %v", got, saved, store.ErrUnavailable)
		}
		return errors.Is(err, store.ErrUnavailable) && strings.Contains(err.Error(), "no master")
	})
	host, port, _ := net.SplitHostPort(server.Addr)
	must(t, at.Monitor(t.Context(), "visitors", host, port, "1").Err())
	eventually(t, "works again", func() bool {
		got, err := s.Session(t.Context(), "v1")
		return err == nil && got == saved
	})
}

func TestSentinels_MasterDown_ReplicaTakesOver(t *testing.T) {
	t.Parallel()
	master := redistest.Start(t)
	replica := redistest.StartReplica(t, master)
	var sentinels [3]*redistest.Server
	for i := range sentinels {
		sentinels[i] = redistest.StartSentinel(t, "visitors", 2, master)
	}
	for _, sentinel := range sentinels {
		at := goredis.NewSentinelClient(&goredis.Options{Addr: sentinel.Addr})
		t.Cleanup(func() { _ = at.Close() })
		eventually(t, "the sentinels know each other and the replica", func() bool {
			others, err := at.Sentinels(t.Context(), "visitors").Result()
			replicas, err2 := at.Replicas(t.Context(), "visitors").Result()
			return err == nil && err2 == nil && len(others) == 2 && len(replicas) == 1 &&
				replicas[0]["flags"] == "slave" && replicas[0]["master-link-status"] == "ok"
		})
	}
	// The third sentinel is found through the others.
	url := sentinels[0].URL() + "&addr=" + sentinels[1].Addr + "&master_name=visitors"
	s, other := open(t, url, "p:"), open(t, url, "p:")
	wantHeard(t, other, s)
	fence, ok, err := s.Acquire(t.Context(), "lease", "me", time.Hour)
	if err != nil || !ok {
		t.Fatalf("got %v, error %v, want the lease", ok, err)
	}
	old, err := s.SaveSession(t.Context(), store.Session{Visitor: "v1", Epoch: 1, ExpiresAt: soon()})
	must(t, err)
	saved, err := s.SaveSession(t.Context(), old)
	must(t, err)
	copied(t, master, saved)
	copied(t, replica, saved)

	// On a slow machine a failover may have happened already.
	at := goredis.NewSentinelClient(&goredis.Options{Addr: sentinels[2].Addr})
	t.Cleanup(func() { _ = at.Close() })
	dies, heir := master, replica
	if addr, err := at.GetMasterAddrByName(t.Context(), "visitors").Result(); err != nil || net.JoinHostPort(addr[0], addr[1]) == replica.Addr {
		must(t, err)
		dies, heir = replica, master
	}
	dies.Kill()
	eventually(t, "works with the replica", func() bool {
		err := s.Ping(t.Context())
		if err != nil && !errors.Is(err, store.ErrUnavailable) {
			t.Fatalf("got error %v, want %v until the replica is master", err, store.ErrUnavailable)
		}
		return err == nil
	})
	if role := heir.Client().Info(t.Context(), "replication").Val(); !strings.Contains(role, "role:master") {
		t.Errorf("got %q, want a master", role)
	}
	got, err := s.Session(t.Context(), "v1")
	if err != nil || got != saved {
		t.Errorf("got %+v error %v, want %+v", got, err, saved)
	}
	if _, err = s.SaveSession(t.Context(), old); !errors.Is(err, store.ErrConflict) {
		t.Errorf("got error %v over an old version, want %v", err, store.ErrConflict)
	}
	if _, err = s.SaveSession(t.Context(), saved); err != nil {
		t.Errorf("got error %v over the version that was copied, want none", err)
	}
	if _, ok, err = s.Acquire(t.Context(), "lease", "another", time.Hour); err != nil || ok {
		t.Errorf("got %v error %v for another's lease, want it kept", ok, err)
	}
	must(t, s.Release(t.Context(), "lease", "me"))
	if next, ok, err := s.Acquire(t.Context(), "lease", "another", time.Hour); err != nil || !ok || next <= fence {
		t.Errorf("got fence %d %v error %v, want one above %d", next, ok, err, fence)
	}

	// Any other sentinel can replace the one in the URL.
	sentinels[0].Kill()
	must(t, heir.Client().Do(t.Context(), "CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes").Err())
	eventually(t, "works again", func() bool { return s.Ping(t.Context()) == nil })
	eventually(t, "the other finds the replica too", func() bool { return other.Ping(t.Context()) == nil })
	wantHeard(t, other, s)
}

// copied waits until a server has the session.
func copied(t *testing.T, server *redistest.Server, s store.Session) {
	t.Helper()
	client := server.Client()
	eventually(t, "is copied", func() bool {
		raw, _ := client.Get(t.Context(), "p:{"+s.Visitor+"}s").Result()
		return strings.HasPrefix(raw, string(binary.BigEndian.AppendUint64([]byte{1}, uint64(s.Version))))
	})
}
