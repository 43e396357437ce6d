package redistest

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// StartReplica starts a server that copies another, and waits until it has.
func StartReplica(t testing.TB, master *Server) *Server {
	t.Helper()
	s := Start(t, "--replicaof", "127.0.0.1 "+master.port(), "--repl-diskless-sync-delay", "0")
	client := s.Client()
	until(t, "the replica follows", func(ctx context.Context) bool {
		return strings.Contains(client.Info(ctx, "replication").Val(), "master_link_status:up")
	})
	return s
}

// StartSentinel starts a sentinel that watches the master under a name and
// needs as many as quorum to say that it is down. It takes what does not answer
// for a few seconds to be down.
func StartSentinel(t testing.TB, name string, quorum int, master *Server) *Server {
	t.Helper()
	s := &Server{t: t, dir: t.TempDir(), Addr: freeAddr(t)}
	conf := filepath.Join(s.dir, "sentinel.conf")
	text := "bind 127.0.0.1\nport " + s.port() + "\ndir " + s.dir + "\nlogfile " + filepath.Join(s.dir, "log") +
		fmt.Sprintf("\nsentinel monitor %s 127.0.0.1 %s %d", name, master.port(), quorum) +
		fmt.Sprintf("\nsentinel down-after-milliseconds %s 5000\nsentinel failover-timeout %s 10000\n", name, name)
	if err := os.WriteFile(conf, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	s.args = []string{master.args[0], conf, "--sentinel"}
	s.Restart()
	t.Cleanup(s.Kill)
	return s
}

// StartCluster starts a cluster of n masters with the slots dealt out among
// them, and waits until each of them knows.
func StartCluster(t testing.TB, n int, args ...string) []*Server {
	t.Helper()
	const slots = 16384
	nodes := make([]*Server, n)
	for i := range nodes {
		// By default a node's second port is 10000 above its first, which may be
		// more than there are. Who is slow is not down.
		bus := freeAddr(t)
		bus = bus[strings.LastIndex(bus, ":")+1:]
		nodes[i] = Start(t, append([]string{
			"--cluster-enabled", "yes", "--cluster-port", bus, "--cluster-node-timeout", "60000",
		}, args...)...)
		client := nodes[i].Client()
		for what, err := range map[string]error{
			"epoch": client.Do(t.Context(), "CLUSTER", "SET-CONFIG-EPOCH", i+1).Err(),
			"slots": client.ClusterAddSlotsRange(t.Context(), i*slots/n, (i+1)*slots/n-1).Err(),
			"meet":  nodes[0].Client().Do(t.Context(), "CLUSTER", "MEET", "127.0.0.1", nodes[i].port(), bus).Err(),
		} {
			if err != nil {
				t.Fatalf("%s: got error %v, want none", what, err)
			}
		}
	}
	for _, node := range nodes {
		client := node.Client()
		until(t, "the cluster is whole", func(ctx context.Context) bool {
			info := client.ClusterInfo(ctx).Val()
			return strings.Contains(info, "cluster_state:ok") && strings.Contains(info, fmt.Sprintf("cluster_slots_ok:%d\r", slots)) &&
				strings.Contains(info, fmt.Sprintf("cluster_known_nodes:%d\r", n))
		})
	}
	return nodes
}

// ClusterURL is the address of a cluster by its first node and its last.
func ClusterURL(nodes []*Server) string {
	return nodes[0].URL() + "&addr=" + nodes[len(nodes)-1].Addr
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
