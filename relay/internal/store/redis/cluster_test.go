package redis_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/anyframe-relay/relay/relay/internal/store"
	"github.com/anyframe-relay/relay/relay/internal/store/redistest"
)

// Three nodes reject calls whose keys are on several nodes.
func TestConformance_Cluster(t *testing.T) {
	t.Parallel()
	nodes := redistest.StartCluster(t, 3)
	isAStore(t, redistest.ClusterURL(nodes), nodes...)
}

func TestOpen_ClusterRestrictedUser_Works(t *testing.T) {
	t.Parallel()
	for _, n := range []int{1, 3} {
		t.Run(fmt.Sprintf("%d nodes", n), func(t *testing.T) {
			t.Parallel()
			nodes := redistest.StartCluster(t, n)
			for _, node := range nodes {
				giveFewRights(t, node.Client(), "+cluster|slots")
			}
			url := strings.Replace(redistest.ClusterURL(nodes), "redis://", "redis://relay:p%40ss@", 1)
			s := open(t, url, "p:")
			wantWorks(t, s)
			for i := range 100 {
				must(t, s.Commit(fmt.Sprintf("token%d", i), []byte("x"), soon()))
			}
			for _, node := range nodes {
				if n := node.Client().DBSize(t.Context()).Val(); n == 0 {
					t.Errorf("got nothing stored at %s, want something at every node", node.Addr)
				}
			}
			wantRefused(t, strings.Replace(url, "p%40ss", "afm_secret", 1), "WRONGPASS")
		})
	}
}

// wantHeard waits until a hint that one store publishes arrives at the other.
func wantHeard(t *testing.T, teller, hearer store.Notifier) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	heard := make(chan string, 1)
	var hearing sync.WaitGroup
	hearing.Go(func() {
		hearer.Subscribe(ctx, func(visitor string) {
			select {
			case heard <- visitor:
			default:
			}
		})
	})
	defer hearing.Wait()
	defer cancel()
	eventually(t, "hears", func() bool {
		if err := teller.Publish(t.Context(), "v1"); err != nil && !errors.Is(err, store.ErrUnavailable) {
			t.Fatalf("got error %v, want none", err)
		}
		select {
		case got := <-heard:
			return got == "v1"
		default:
			return false
		}
	})
}

// A hint arrives whichever nodes publisher and subscriber are connected to.
func TestNotifier_Cluster_Delivers(t *testing.T) {
	t.Parallel()
	nodes := redistest.StartCluster(t, 3)
	url := redistest.ClusterURL(nodes)
	for i := range 6 { // prefixes whose channels belong to different nodes
		prefix := fmt.Sprintf("p%d:", i)
		a, b := open(t, url, prefix), open(t, url, prefix)
		wantHeard(t, a, b)
	}
}

func TestCluster_NodeDown_UnavailableThenRecovers(t *testing.T) {
	t.Parallel()
	nodes := redistest.StartCluster(t, 3, "--appendonly", "yes", "--appendfsync", "always")
	s := open(t, redistest.ClusterURL(nodes), "p:")
	visitors := make([]store.Session, 30) // over all nodes
	for i := range visitors {
		var err error
		visitors[i], err = s.SaveSession(t.Context(), store.Session{Visitor: fmt.Sprintf("v%d", i), Epoch: 1, ExpiresAt: soon()})
		must(t, err)
	}
	nodes[1].Kill()
	away := 0
	for _, v := range visitors {
		switch _, err := s.Session(t.Context(), v.Visitor); {
		case errors.Is(err, store.ErrUnavailable):
			away++
		case err != nil:
			t.Errorf("got error %v, want none or %v", err, store.ErrUnavailable)
		}
	}
	if away == 0 {
		t.Error("got every session while a node is away, want some not available")
	}
	nodes[1].Restart()
	for _, v := range visitors {
		eventually(t, "is read again", func() bool {
			got, err := s.Session(t.Context(), v.Visitor)
			if err != nil && !errors.Is(err, store.ErrUnavailable) {
				t.Fatalf("got error %v, want %v until the node is back", err, store.ErrUnavailable)
			}
			return err == nil && got.Version == v.Version
		})
		_, err := s.SaveSession(t.Context(), v)
		must(t, err)
	}
	wantHeard(t, s, open(t, redistest.ClusterURL(nodes), "p:"))
}

// A redirection is followed without executing a call twice.
func TestCluster_Failover_Followed(t *testing.T) {
	t.Parallel()
	nodes := redistest.StartCluster(t, 3)
	replica := redistest.JoinCluster(t, nodes, nodes[1])
	s := open(t, redistest.ClusterURL(nodes), "p:")
	visitors := make([]store.Session, 30) // over all nodes
	for i := range visitors {
		visitors[i] = store.Session{Visitor: fmt.Sprintf("v%d", i), Epoch: 1, ExpiresAt: soon()}
	}
	save := func() {
		t.Helper()
		var err error
		for i, v := range visitors {
			visitors[i], err = s.SaveSession(t.Context(), v)
			must(t, err)
		}
	}
	master := func(node *redistest.Server) func() bool {
		client := node.Client()
		return func() bool { return strings.Contains(client.Info(t.Context(), "replication").Val(), "role:master") }
	}
	save()
	must(t, replica.Client().ClusterFailover(t.Context()).Err()) // as for an upgrade
	eventually(t, "the replica is master", master(replica))
	save()

	back := nodes[1].Client()
	eventually(t, "its master has become its replica", func() bool {
		return strings.Contains(back.Info(t.Context(), "replication").Val(), "master_link_status:up")
	})
	now := replica.Client()
	eventually(t, "all is copied", func() bool {
		info := now.Info(t.Context(), "replication").Val()
		_, rest, _ := strings.Cut(info, "master_repl_offset:")
		offset, _, _ := strings.Cut(rest, "\r")
		return strings.Contains(info, ",offset="+offset+",")
	})
	replica.Kill()
	must(t, back.Do(t.Context(), "CLUSTER", "FAILOVER", "TAKEOVER").Err())
	for _, v := range visitors {
		eventually(t, "is found at the next master", func() bool {
			got, err := s.Session(t.Context(), v.Visitor)
			if err != nil && !errors.Is(err, store.ErrUnavailable) {
				t.Fatalf("got error %v, want none or %v", err, store.ErrUnavailable)
			}
			if err == nil && got != v {
				t.Fatalf("got %+v, want %+v", got, v)
			}
			return err == nil
		})
	}
	save()
}

// front is a proxy that can drop the reply to a script.
type front struct {
	net.Listener
	lose atomic.Bool // of the next script
}

// serve proxies connections until the test ends.
func (f *front) serve(t *testing.T, to string) {
	var running sync.WaitGroup
	running.Go(func() {
		for {
			client, err := f.Accept()
			if err != nil {
				return
			}
			server, err := new(net.Dialer).DialContext(context.Background(), "tcp", to)
			if err != nil {
				_ = client.Close()
				continue
			}
			var lost atomic.Bool
			running.Go(func() {
				pass(server, client, func(b []byte) bool {
					if bytes.Contains(b, []byte("evalsha")) && f.lose.CompareAndSwap(true, false) {
						lost.Store(true)
					}
					return true
				})
			})
			running.Go(func() { pass(client, server, func([]byte) bool { return !lost.Load() }) })
		}
	})
	t.Cleanup(running.Wait) // after stores and server are closed
	t.Cleanup(func() { _ = f.Close() })
}

// pass copies from one connection to the other while good returns true, and closes both.
func pass(to io.WriteCloser, from io.ReadCloser, good func([]byte) bool) {
	defer to.Close()
	defer from.Close()
	b := make([]byte, 64<<10)
	for {
		n, err := from.Read(b)
		if err != nil || !good(b[:n]) {
			return
		}
		if _, err = to.Write(b[:n]); err != nil {
			return
		}
	}
}

// A retried compare-and-set would conflict with its own change.
func TestCall_ReplyLost_NotRetried(t *testing.T) {
	t.Parallel()
	for name, start := range map[string]func(t *testing.T, port string) *redistest.Server{
		"one server": func(t *testing.T, _ string) *redistest.Server { return redistest.Start(t) },
		"a cluster": func(t *testing.T, port string) *redistest.Server {
			return redistest.StartCluster(t, 1, "--cluster-announce-port", port)[0]
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
			must(t, err)
			f := &front{Listener: l}
			_, port, _ := net.SplitHostPort(l.Addr().String())
			server := start(t, port)
			f.serve(t, server.Addr)
			url := strings.Replace(server.URL(), server.Addr, l.Addr().String(), 1)
			if name == "a cluster" {
				url += "&addr=" + l.Addr().String()
			}
			s := open(t, url, "p:")
			old, err := s.SaveSession(t.Context(), store.Session{Visitor: "v1", Epoch: 1, ExpiresAt: soon()})
			must(t, err)
			old, err = s.SaveSession(t.Context(), old)
			must(t, err)
			f.lose.Store(true)
			old.Epoch = 2
			if _, err = s.SaveSession(t.Context(), old); !errors.Is(err, store.ErrUnavailable) {
				t.Errorf("got error %v, want %v", err, store.ErrUnavailable)
			}
			if f.lose.Load() {
				t.Error("got no answer lost, want one")
			}
			if got, err := s.Session(t.Context(), "v1"); err != nil || got.Epoch != 2 {
				t.Errorf("got %+v error %v, want epoch 2, for the call was made", got, err)
			}
		})
	}
}

func TestOpen_WrongKindOfServer_Advice(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	sentinel := redistest.StartSentinel(t, "visitors", 1, server)
	nodes := redistest.StartCluster(t, 3)
	for url, want := range map[string]string{
		nodes[1].URL(): "add addr=", // another node has the key that Ping writes
		sentinel.URL(): "may be a sentinel",
		sentinel.URL() + "&addr=" + sentinel.Addr:     "may be a sentinel",
		sentinel.URL() + "&master_name=others":        "no master with the name",
		server.URL() + "&master_name=visitors":        "not a sentinel",
		server.URL() + "&addr=" + server.Addr:         "cluster support disabled",
		strings.Replace(server.URL(), "?", "/99?", 1): "out of range",
	} {
		wantRefused(t, url, want)
	}
}
