package redis_test

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/anyframe-relay/relay/relay/internal/store"
	"github.com/anyframe-relay/relay/relay/internal/store/redis"
	"github.com/anyframe-relay/relay/relay/internal/store/redistest"
	"github.com/anyframe-relay/relay/relay/internal/store/storetest"
)

// patience is how long a test waits for a condition before it fails.
const patience = 2 * time.Minute

// open opens a store at url and closes it with the test.
func open(t testing.TB, url, prefix string) *redis.Store {
	t.Helper()
	s, err := redis.Open(t.Context(), url, prefix)
	if err != nil {
		t.Fatalf("got error %v, want none", err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("got error %v, want none", err)
		}
	})
	return s
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatalf("got error %v, want none", err)
	}
}

func soon() time.Time { return time.Now().Add(time.Hour) }

// isAStore runs the suite on servers, each test with its own prefix, and checks that
// every key except those of records has a TTL.
func isAStore(t *testing.T, url string, servers ...*redistest.Server) {
	var n atomic.Int64
	storetest.Run(t, func(t *testing.T) store.Store {
		prefix := fmt.Sprintf("p%d:", n.Add(1))
		t.Cleanup(func() { wantMortal(t, prefix, servers) })
		return open(t, url, prefix)
	})
	wantMortal(t, "p", servers)
}

// wantMortal checks that every key has the first letter of prefix and a TTL, except
// those of records and the format.
func wantMortal(t *testing.T, prefix string, servers []*redistest.Server) {
	t.Helper()
	ctx := context.Background()
	for _, server := range servers {
		client := server.Client()
		keys, err := client.Keys(ctx, "*").Result()
		if err != nil {
			t.Fatal(err)
		}
		for _, key := range keys {
			if !strings.HasPrefix(key, prefix[:1]) {
				t.Errorf("got key %q, want the prefix", key)
			}
			kept := strings.Contains(key, ":{r:") || strings.HasSuffix(key, ":format")
			if ttl := client.PTTL(ctx, key).Val(); ttl == -1 && !kept {
				t.Errorf("got %q for ever, want a time to live", key)
			}
		}
	}
}

func TestConformance(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	isAStore(t, server.URL(), server)
}

// giveFewRights creates the user that docs/operating.md recommends.
func giveFewRights(t *testing.T, client *goredis.Client, more ...string) {
	t.Helper()
	rules := []string{
		"on", ">p@ss", "resetkeys", "~p:*", "resetchannels", "&p:*",
		"-@all", "+@read", "+@write", "+@scripting", "+@connection", "+@pubsub", "+time",
	}
	if err := client.ACLSetUser(t.Context(), "relay", append(rules, more...)...).Err(); err != nil {
		t.Fatal(err)
	}
}

// The permissions that docs/operating.md recommends suffice.
func TestOpen_RestrictedUser_OwnDatabase(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	client := server.Client()
	giveFewRights(t, client)
	url := strings.Replace(server.URL(), "redis://"+server.Addr, "redis://relay:p%40ss@"+server.Addr+"/3", 1)
	wantWorks(t, open(t, url, "p:"))
	if n := client.DBSize(t.Context()).Val(); n != 0 {
		t.Errorf("got %d keys in database 0, want all in 3", n)
	}
	wantRefused(t, strings.Replace(url, "p%40ss", "afm_secret", 1), "WRONGPASS")
	wantRefused(t, strings.Replace(url, "relay:p%40ss", "else:afm_secret", 1), "WRONGPASS")
	wantRefused(t, strings.Replace(url, "/3", "/99", 1), "out of range")
	giveFewRights(t, client, "resetkeys", "~another:*")
	wantRefused(t, url, "NOPERM")
}

// wantRefused checks that opening url fails with an error that contains why and
// no password.
func wantRefused(t *testing.T, url, why string) {
	t.Helper()
	eventually(t, "is refused, "+why, func() bool {
		s, err := redis.Open(t.Context(), url, "p:")
		if err == nil { // a slow server counts as unreachable, which is no error
			must(t, s.Close())
			return false
		}
		if said := err.Error(); !strings.Contains(said, why) || strings.Contains(said, "afm_secret") || strings.Contains(said, "p%40ss") {
			t.Fatalf("got error %v, want one that says %q without a password", err, why)
		}
		return true
	})
}

func TestOpen_TLS_VerifiesCertificate(t *testing.T) {
	t.Parallel()
	other := httptest.NewTLSServer(http.NotFoundHandler()) // lends its certificate and its port
	pair, addr := other.TLS.Certificates[0], other.Listener.Addr().String()
	other.Close()
	key, err := x509.MarshalPKCS8PrivateKey(pair.PrivateKey)
	must(t, err)
	dir := t.TempDir()
	var args []string
	for name, block := range map[string]*pem.Block{
		"cert": {Type: "CERTIFICATE", Bytes: pair.Certificate[0]}, "key": {Type: "PRIVATE KEY", Bytes: key},
	} {
		path := filepath.Join(dir, name)
		must(t, os.WriteFile(path, pem.EncodeToMemory(block), 0o600))
		args = append(args, "--tls-"+name+"-file", path)
	}
	_, port, _ := net.SplitHostPort(addr)
	server := redistest.Start(t, append(args, "--tls-port", port, "--tls-auth-clients", "no")...)
	url := strings.Replace(server.URL(), "redis://"+server.Addr, "rediss://"+addr, 1)
	wantWorks(t, open(t, url+"&skip_verify=true", "p:"))
	s := open(t, url, "p:") // a store that trusts no authority that signed that certificate
	if err := s.Ping(t.Context()); !errors.Is(err, store.ErrUnavailable) || !strings.Contains(err.Error(), "certificate") {
		t.Errorf("got error %v, want the certificate refused", err)
	}
}

// wantWorks makes calls of every kind.
func wantWorks(t *testing.T, s *redis.Store) {
	t.Helper()
	must(t, s.Commit("token", []byte("x"), soon()))
	if _, found, err := s.Find("token"); err != nil || !found {
		t.Errorf("got found %v error %v, want the token", found, err)
	}
	_, err := s.SaveSession(t.Context(), store.Session{Visitor: "v1", Epoch: 1, ExpiresAt: soon()})
	must(t, err)
	_, _, err = s.BeginNote(t.Context(), store.Note{Visitor: "v1", Kind: "turn", Key: "k", ExpiresAt: soon()})
	must(t, err)
	if notes, err := s.Notes(t.Context(), "v1", "turn", 0); err != nil || len(notes) != 1 {
		t.Errorf("got notes %v error %v, want one", notes, err)
	}
	_, ok, err := s.Acquire(t.Context(), "lease", "me", time.Hour)
	must(t, err)
	if !ok {
		t.Error("got no lease, want it")
	}
	_, err = s.Take(t.Context(), "q", 1, 1, time.Hour)
	must(t, err)
	_, _, err = s.Admit(t.Context(), "v1", 1, 1, time.Hour)
	must(t, err)
	if n, err := s.CountAwake(t.Context()); err != nil || n != 1 {
		t.Errorf("got %d awake error %v, want 1", n, err)
	}
	must(t, s.Forget(t.Context(), "v1"))
	must(t, s.Publish(t.Context(), "v1"))
	must(t, s.Ping(t.Context()))
}

// eventually waits until cond holds.
func eventually(t *testing.T, what string, cond func() bool) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(patience); !cond(); <-tick.C {
		if time.Now().After(deadline) {
			t.Fatalf("%s: got not, want it in the end", what)
		}
	}
}

// impatient is the URL of a server with the default timeouts.
func impatient(server *redistest.Server) string { return "redis://" + server.Addr }

func TestCall_ServerDown_UnavailableThenRecovers(t *testing.T) {
	t.Parallel()
	for name, fault := range map[string]struct{ begin, end func(*redistest.Server) }{
		"killed": {(*redistest.Server).Kill, (*redistest.Server).Restart},
		"frozen": {(*redistest.Server).Freeze, (*redistest.Server).Thaw},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := redistest.Start(t)
			s := open(t, impatient(server), "p:")
			eventually(t, "works", func() bool { return s.Ping(t.Context()) == nil })
			fault.begin(server)
			for i := range 20 { // by then the server counts as unavailable
				_, err := s.Session(t.Context(), "v1")
				if !errors.Is(err, store.ErrUnavailable) {
					t.Fatalf("call %d: got error %v, want %v", i, err, store.ErrUnavailable)
				}
			}
			fault.end(server)
			eventually(t, "works again", func() bool { return s.Ping(t.Context()) == nil })
		})
	}
}

func TestOpen_ServerDown_RecoversLater(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	server.Kill()
	s := open(t, impatient(server), "p:")
	if err := s.Ping(t.Context()); !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("got error %v, want %v", err, store.ErrUnavailable)
	}
	server.Restart()
	eventually(t, "works", func() bool { return s.Ping(t.Context()) == nil })
}

// A server that accepts connections and never replies costs the most time.
func TestCall_NoReply_BreakerOpens(t *testing.T) {
	t.Parallel()
	var listen net.ListenConfig
	l, err := listen.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var accepted atomic.Int64
	var conns sync.WaitGroup
	conns.Go(func() {
		var open []net.Conn
		for {
			c, err := l.Accept()
			if err != nil {
				for _, c := range open {
					_ = c.Close()
				}
				return
			}
			accepted.Add(1)
			open = append(open, c)
		}
	})
	s := open(t, "redis://"+l.Addr().String()+"?pool_size=20", "p:")
	var calls sync.WaitGroup
	for range 20 {
		calls.Go(func() {
			for range 10 {
				if err := s.Ping(t.Context()); !errors.Is(err, store.ErrUnavailable) {
					t.Errorf("got error %v, want %v", err, store.ErrUnavailable)
				}
			}
		})
	}
	calls.Wait()
	// Each connection of the pool is tried once before the circuit breaker opens; then
	// there is one trial per second.
	if n := accepted.Load(); n > 100 {
		t.Errorf("got %d connections for 200 calls, want few", n)
	}
	_ = l.Close()
	conns.Wait()
}
