package store_test

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

	"github.com/redis/go-redis/v9"

	"github.com/anyframe-relay/relay/relay/store"
	"github.com/anyframe-relay/relay/relay/store/redistest"
	"github.com/anyframe-relay/relay/relay/store/storetest"
)

// patience is how long a test waits for what should be there at once.
const patience = 2 * time.Minute

// openRedis opens a store at url and closes it with the test.
func openRedis(t testing.TB, url, prefix string) store.Store {
	t.Helper()
	s, err := store.Open(t.Context(), url, store.WithRedisPrefix(prefix))
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

// isAStore runs the suite on servers, each test with keys of its own, and wants
// a time to live on every one of them.
func isAStore(t *testing.T, url string, servers ...*redistest.Server) {
	var n atomic.Int64
	storetest.Run(t, func(t *testing.T) store.Store {
		prefix := fmt.Sprintf("p%d:", n.Add(1))
		t.Cleanup(func() { wantMortal(t, prefix, servers) })
		return openRedis(t, url, prefix)
	})
	wantMortal(t, "p", servers)
}

// wantMortal wants every key to have the prefix or another test's, and a time
// to live.
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
			if ttl := client.PTTL(ctx, key).Val(); ttl == -1 {
				t.Errorf("got %q for ever, want a time to live", key)
			}
		}
	}
}

func TestRedis_StoreContract(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	isAStore(t, server.URL(), server)
}

// giveFewRights makes the user that the documentation asks for.
func giveFewRights(t *testing.T, client *redis.Client, more ...string) {
	t.Helper()
	rules := []string{
		"on", ">p@ss", "resetkeys", "~p:*", "resetchannels", "&p:*",
		"-@all", "+@read", "+@write", "+@scripting", "+@connection", "+@pubsub", "+time",
	}
	if err := client.ACLSetUser(t.Context(), "relay", append(rules, more...)...).Err(); err != nil {
		t.Fatal(err)
	}
}

// The rights that the documentation asks for are enough.
func TestRedis_UserWithFewRightsAndOwnDatabase_Works(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	client := server.Client()
	giveFewRights(t, client)
	url := strings.Replace(server.URL(), "redis://"+server.Addr, "redis://relay:p%40ss@"+server.Addr+"/3", 1)
	wantWorks(t, openRedis(t, url, "p:"))
	if n := client.DBSize(t.Context()).Val(); n != 0 {
		t.Errorf("got %d keys in database 0, want all in 3", n)
	}
	wantRefused(t, strings.Replace(url, "p%40ss", "afm_secret", 1), "WRONGPASS")
	wantRefused(t, strings.Replace(url, "relay:p%40ss", "else:afm_secret", 1), "WRONGPASS")
	wantRefused(t, strings.Replace(url, "/3", "/99", 1), "out of range")
	giveFewRights(t, client, "resetkeys", "~another:*")
	wantRefused(t, url, "NOPERM")
}

// wantRefused wants a store at url not to open, and the error to say why and to
// hold no password.
func wantRefused(t *testing.T, url, why string) {
	t.Helper()
	eventually(t, "is refused, "+why, func() bool {
		s, err := store.Open(t.Context(), url, store.WithRedisPrefix("p:"))
		if err == nil { // who answers late is taken to be away
			must(t, s.Close())
			return false
		}
		if said := err.Error(); !strings.Contains(said, why) || strings.Contains(said, "afm_secret") || strings.Contains(said, "p%40ss") {
			t.Fatalf("got error %v, want one that says %q without a password", err, why)
		}
		return true
	})
}

func TestRedis_TLS_Works(t *testing.T) {
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
	wantWorks(t, openRedis(t, url+"&skip_verify=true", "p:"))
	s := openRedis(t, url, "p:") // which knows nobody who vouches for that certificate
	if err := s.Ping(t.Context()); !errors.Is(err, store.ErrUnavailable) || !strings.Contains(err.Error(), "certificate") {
		t.Errorf("got error %v, want the certificate refused", err)
	}
}

// wantWorks makes a call of every kind.
func wantWorks(t *testing.T, s store.Store) {
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
	must(t, s.(store.Herald).Tell(t.Context(), "v1"))
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

// impatient is the address of a server whose store waits as briefly as it does
// by default.
func impatient(server *redistest.Server) string { return "redis://" + server.Addr }

func TestRedis_Unreachable_UnavailableAndRecovers(t *testing.T) {
	t.Parallel()
	for name, fault := range map[string]struct{ begin, end func(*redistest.Server) }{
		"killed": {(*redistest.Server).Kill, (*redistest.Server).Restart},
		"frozen": {(*redistest.Server).Freeze, (*redistest.Server).Thaw},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := redistest.Start(t)
			s := openRedis(t, impatient(server), "p:")
			eventually(t, "works", func() bool { return s.Ping(t.Context()) == nil })
			fault.begin(server)
			for i := range 20 { // by then it is known to be away
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

func TestRedis_UnreachableAtOpen_RecoversLater(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	server.Kill()
	s := openRedis(t, impatient(server), "p:")
	if err := s.Ping(t.Context()); !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("got error %v, want %v", err, store.ErrUnavailable)
	}
	server.Restart()
	eventually(t, "works", func() bool { return s.Ping(t.Context()) == nil })
}

// A server that takes connections and says nothing is the worst there is.
func TestRedis_NeverAnswers_CallsFailFast(t *testing.T) {
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
	s := openRedis(t, "redis://"+l.Addr().String()+"?pool_size=20", "p:")
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
	// The pool once, until it is clear that calls are of no use, and then one try
	// a second.
	if n := accepted.Load(); n > 100 {
		t.Errorf("got %d connections for 200 calls, want few", n)
	}
	_ = l.Close()
	conns.Wait()
}

func TestRedis_InvalidURL_RefusedWithoutPassword(t *testing.T) {
	t.Parallel()
	for _, url := range []string{
		"redis://u:afm_secret@%zz", "redis://u:afm_secret@host:port", "redis://u:afm_secret@host/x", "redis://u:afm_secret@host?nonsense=1",
		"rediss://u:afm_secret@host?addr=host", "redis://u:afm_secret@host?addr=host:1&read_only=true",
		"redis://u:afm_secret@host?master_name=m&replica_only=true", "redis://u:afm_secret@host?master_name=m&db=x",
		"redis://u:afm_secret@host?master_name=", "redis://u:afm_secret@host/3?addr=host:1", "redis:u:afm_secret@host:6379",
		"redis://u:afm_secret@host?addr=host", "redis://u:afm_secret@host?mastername=m", "redis://u:afm_secret@host/0/1?master_name=m",
	} {
		err := store.Valid(url)
		if err == nil || strings.Contains(err.Error(), "afm_secret") {
			t.Errorf("%s: got error %v, want one without the password", url, err)
		}
		if _, err := store.Open(t.Context(), url); err == nil || strings.Contains(err.Error(), "afm_secret") {
			t.Errorf("%s: got error %v opening it, want one without the password", url, err)
		}
	}
	for _, url := range []string{
		"redis://host", "rediss://user:password@host:6380/2", "redis://host:1?addr=host:2&addr=host:3", "redis://host:1/0?addr=host:1", "rediss://host?master_name=m&addr=b:26379",
		"memory:", "sqlite:x",
	} {
		if err := store.Valid(url); err != nil {
			t.Errorf("%s: got error %v, want none", url, err)
		}
	}
	if err := store.Valid("redis://host", store.WithRedisPrefix("a{b}")); err == nil {
		t.Error("got no error for a prefix with braces, want one")
	}
}

func TestRedis_Publish_NotReceivedBySelf(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	a, b := openRedis(t, server.URL(), "p:").(store.Herald), openRedis(t, server.URL(), "p:").(store.Herald)
	other := openRedis(t, server.URL(), "q:").(store.Herald)
	ctx, cancel := context.WithCancel(t.Context())
	var hearing sync.WaitGroup
	heard := make(chan string, 1000)
	hearing.Go(func() { b.Hear(ctx, func(visitor string) { heard <- visitor }) })
	t.Cleanup(hearing.Wait)
	t.Cleanup(cancel)
	tell := func(from store.Herald, visitor string) {
		if err := from.Tell(t.Context(), visitor); err != nil && !errors.Is(err, store.ErrUnavailable) {
			t.Errorf("got error %v, want none", err)
		}
	}
	arrives := func(what string) {
		eventually(t, what, func() bool {
			tell(b, "own")
			tell(other, "another prefix")
			tell(a, "v1")
			select {
			case got := <-heard:
				if got != "v1" {
					t.Errorf("got told of %q, want v1", got)
				}
				return true
			default:
				return false
			}
		})
	}
	arrives("hears")
	server.Kill()
	server.Restart()
	for len(heard) > 0 {
		<-heard
	}
	arrives("hears after a restart")
}
