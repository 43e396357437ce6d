package store_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/anyframe-relay/relay/relay/store"
	"github.com/anyframe-relay/relay/relay/store/redistest"
)

// Three nodes refuse what spreads over several of them.
func TestRedisClusterIsAStore(t *testing.T) {
	t.Parallel()
	nodes := redistest.StartCluster(t, 3)
	isAStore(t, redistest.ClusterURL(nodes), nodes...)
}

func TestRedisClusterServesAUserOfFewRights(t *testing.T) {
	t.Parallel()
	for _, n := range []int{1, 3} {
		t.Run(fmt.Sprintf("%d nodes", n), func(t *testing.T) {
			t.Parallel()
			nodes := redistest.StartCluster(t, n)
			for _, node := range nodes {
				giveFewRights(t, node.Client(), "+cluster|slots")
			}
			url := strings.Replace(redistest.ClusterURL(nodes), "redis://", "redis://relay:p%40ss@", 1)
			s := openRedis(t, url, "p:")
			wantWorks(t, s)
			for i := range 100 {
				must(t, s.Commit(fmt.Sprintf("token%d", i), []byte("x"), soon()))
			}
			for _, node := range nodes {
				if n := node.Client().DBSize(t.Context()).Val(); n == 0 {
					t.Errorf("got nothing stored at %s, want something at every node", node.Addr)
				}
			}
			wrong := strings.Replace(url, "p%40ss", "afm_secret", 1)
			if _, err := store.Open(t.Context(), wrong); err == nil || strings.Contains(err.Error(), "afm_secret") {
				t.Errorf("got error %v, want one without the password", err)
			}
		})
	}
}

// wantHeard wants what one store tells to arrive at the other in the end.
func wantHeard(t *testing.T, teller, hearer store.Herald) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	heard := make(chan string, 1)
	var hearing sync.WaitGroup
	hearing.Go(func() {
		hearer.Hear(ctx, func(visitor string) {
			select {
			case heard <- visitor:
			default:
			}
		})
	})
	defer hearing.Wait()
	defer cancel()
	eventually(t, "hears", func() bool {
		if err := teller.Tell(t.Context(), "v1"); err != nil && !errors.Is(err, store.ErrUnavailable) {
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

// Whichever node a process hears at, and wherever another tells.
func TestRedisClusterPassesOnHints(t *testing.T) {
	t.Parallel()
	nodes := redistest.StartCluster(t, 3)
	url := redistest.ClusterURL(nodes)
	for i := range 6 { // prefixes whose channels belong to different nodes
		prefix := fmt.Sprintf("p%d:", i)
		a, b := openRedis(t, url, prefix), openRedis(t, url, prefix)
		wantHeard(t, a.(store.Herald), b.(store.Herald))
	}
}

func TestRedisClusterWorksAgainWhenALostNodeIsBack(t *testing.T) {
	t.Parallel()
	nodes := redistest.StartCluster(t, 3, "--appendonly", "yes", "--appendfsync", "always")
	s := openRedis(t, redistest.ClusterURL(nodes), "p:")
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
	wantHeard(t, s.(store.Herald), openRedis(t, redistest.ClusterURL(nodes), "p:").(store.Herald))
}
