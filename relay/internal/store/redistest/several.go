package redistest

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/anyframe-relay/relay/tools/ports"
)

// StartReplica starts a replica of master and waits until it is in sync.
func StartReplica(t testing.TB, master *Server) *Server {
	t.Helper()
	s := Start(t, "--replicaof", "127.0.0.1 "+master.port(), "--repl-diskless-sync-delay", "0")
	follows(t, s)
	return s
}

// follows waits until a replica is in sync with its master.
func follows(t testing.TB, replica *Server) {
	t.Helper()
	client := replica.Client()
	until(t, "the replica follows", func(ctx context.Context) bool {
		return strings.Contains(client.Info(ctx, "replication").Val(), "master_link_status:up")
	})
}

// StartSentinel starts a sentinel that monitors master under name with a quorum.
// It considers a server down after five seconds without a reply.
func StartSentinel(t testing.TB, name string, quorum int, master *Server) *Server {
	t.Helper()
	return launch(t, func(s *Server) []string {
		conf := filepath.Join(s.dir, "sentinel.conf")
		text := "bind 127.0.0.1\nport " + s.port() + "\ndir " + s.dir + "\nlogfile " + filepath.Join(s.dir, "log") +
			fmt.Sprintf("\nsentinel monitor %s 127.0.0.1 %s %d", name, master.port(), quorum) +
			fmt.Sprintf("\nsentinel down-after-milliseconds %s 5000\nsentinel failover-timeout %s 5000\n", name, name)
		if err := os.WriteFile(conf, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return []string{master.args[0], conf, "--sentinel"}
	})
}

// slots is the number of hash slots of a cluster.
const slots = 16384

// StartCluster starts a cluster of n masters that share the slots, and waits until
// all nodes agree on it.
func StartCluster(t testing.TB, n int, args ...string) []*Server {
	t.Helper()
	nodes := make([]*Server, n)
	for i := range nodes {
		nodes[i] = startNode(t, nodes[0], args, func(client *redis.Client) {
			must(t, client.Do(t.Context(), "CLUSTER", "SET-CONFIG-EPOCH", i+1).Err())
			must(t, client.ClusterAddSlotsRange(t.Context(), i*slots/n, (i+1)*slots/n-1).Err())
		})
	}
	whole(t, nodes)
	return nodes
}

// JoinCluster adds a replica of master to the cluster, and waits until it is in sync and
// all nodes list it.
func JoinCluster(t testing.TB, nodes []*Server, master *Server) *Server {
	t.Helper()
	s := startNode(t, nodes[0], nil, func(*redis.Client) {})
	whole(t, append(slices.Clone(nodes), s))
	client := s.Client()
	must(t, client.ClusterReplicate(t.Context(), master.Client().ClusterMyID(t.Context()).Val()).Err())
	follows(t, s)
	for _, node := range nodes {
		all := node.Client()
		until(t, "the replica is known", func(ctx context.Context) bool {
			return strings.Contains(all.ClusterNodes(ctx).Val(), " slave ")
		})
	}
	return s
}

// startNode starts one node and joins it to other, if there is one. Before that it calls
// alone, for commands that a node rejects once it is in a cluster.
func startNode(t testing.TB, other *Server, args []string, alone func(*redis.Client)) *Server {
	t.Helper()
	// By default a node's second port is 10000 above its first, which may exceed the
	// highest port. A slow node must not count as down.
	var bus string
	s := startWith(t, func() []string {
		free, err := ports.Free(t.Context())
		must(t, err)
		_, bus, _ = strings.Cut(free, ":")
		return append([]string{"--cluster-enabled", "yes", "--cluster-port", bus, "--cluster-node-timeout", "60000"}, args...)
	})
	alone(s.Client())
	if other != nil {
		must(t, other.Client().Do(t.Context(), "CLUSTER", "MEET", "127.0.0.1", s.port(), bus).Err())
	}
	return s
}

// whole waits until all nodes have each other and the owners of all slots in their
// topology.
func whole(t testing.TB, nodes []*Server) {
	t.Helper()
	for _, node := range nodes {
		client := node.Client()
		until(t, "the cluster is whole", func(ctx context.Context) bool {
			info := client.ClusterInfo(ctx).Val()
			return strings.Contains(info, "cluster_state:ok\r") && strings.Contains(info, fmt.Sprintf("cluster_slots_ok:%d\r", slots)) &&
				strings.Contains(info, fmt.Sprintf("cluster_known_nodes:%d\r", len(nodes)))
		})
	}
}

// ClusterURL returns the URL of a cluster with its first and last node.
func ClusterURL(nodes []*Server) string {
	return nodes[0].URL() + "&addr=" + nodes[len(nodes)-1].Addr
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// until waits until cond holds.
func until(t testing.TB, what string, cond func(context.Context) bool) {
	t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(patience); !cond(t.Context()); <-tick.C {
		if time.Now().After(deadline) {
			t.Fatalf("%s: got not, want it in the end", what)
		}
	}
}
