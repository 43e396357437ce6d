package main

import (
	"context"
	"crypto/sha256"
	"encoding/base32"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/anyframe-relay/relay/relay/store"
	storeredis "github.com/anyframe-relay/relay/relay/store/redis"
	"github.com/anyframe-relay/relay/relay/store/sqlite"
)

const (
	findP50     = "find p50 µs"
	findP99     = "find p99 µs"
	bytesEach   = "bytes each"
	withSession = "bytes each with a session"
	firstByte   = "first byte ms"
)

// startRedis runs a Redis that keeps nothing on a disk.
func startRedis(ctx context.Context, s *stage) (*process, error) {
	if _, err := exec.LookPath("redis-server"); err != nil {
		return nil, errNoPeer
	}
	host, port, _ := strings.Cut(s.addr, ":")
	return start(ctx, s.dir, s.addr, nil, "redis-server", "--bind", host, "--port", port, "--dir", s.dir, "--save", "", "--appendonly", "no")
}

// shelf is a store that says how many bytes it takes.
type shelf struct {
	store.Store
	size func() (float64, error)
}

func openShelf(ctx context.Context, s *stage) (*shelf, error) {
	if s.proc == nil {
		path := filepath.Join(s.dir, "stored.db")
		st, err := sqlite.Open(ctx, path)
		if err != nil {
			return nil, err
		}
		sh := &shelf{Store: st}
		sh.size = func() (float64, error) { // a closed store is whole in the one file
			if err := sh.Close(); err != nil {
				return 0, err
			}
			info, err := os.Stat(path)
			if err != nil {
				return 0, err
			}
			sh.Store, err = sqlite.Open(ctx, path)
			return float64(info.Size()), err
		}
		return sh, nil
	}
	// Patience, for a machine that is busy with something else as well.
	st, err := storeredis.Open(ctx, "redis://"+s.addr+"?dial_timeout=30s&read_timeout=30s&write_timeout=30s&pool_timeout=30s", storeredis.DefaultPrefix)
	if err != nil {
		return nil, err
	}
	return &shelf{Store: st, size: func() (used float64, err error) {
		client := redis.NewClient(&redis.Options{Addr: s.addr})
		defer client.Close()
		info, err := client.InfoMap(ctx, "memory").Result()
		if err != nil {
			return 0, err
		}
		_, err = fmt.Sscan(info["Memory"]["used_memory"], &used)
		return used, err
	}}, nil
}

// runStored fills a store with visitors, then gives each a session, and looks
// some of the visitors up, at random, as a request does. Their tokens and names
// are in no order, as those of the relay are.
func runStored(ctx context.Context, s *stage, full bool) (result, error) {
	st, err := openShelf(ctx, s)
	if err != nil {
		return nil, err
	}
	defer func() { _ = st.Close() }()
	n := size("stored", full)
	random := func(what string, i int) []byte {
		sum := sha256.Sum256(fmt.Append(nil, what, i))
		return sum[:]
	}
	token := func(i int) string { return base64.RawURLEncoding.EncodeToString(random("token", i)) }
	name := func(i int) string { return base32.StdEncoding.EncodeToString(random("visitor", i))[:26] }
	soon := time.Now().UTC().Add(720 * time.Hour)
	expiry := func(i int) time.Time { return soon.Add(time.Duration(i)*time.Millisecond + 123456789) }
	empty, err := st.size()
	if err != nil {
		return nil, err
	}
	err = inSixteen(n, func(i int) error {
		row := binary.AppendVarint([]byte{1, 4}, expiry(i).UnixMilli()) // as the relay writes it, with 17 bytes of a name
		return st.CommitCtx(ctx, token(i), append(row, random("visitor", i)[:17]...), expiry(i))
	})
	if err != nil {
		return nil, err
	}
	known, err := st.size()
	if err != nil {
		return nil, err
	}
	err = inSixteen(n, func(i int) error {
		_, err := st.SaveSession(ctx, store.Session{
			Visitor: name(i), Epoch: 1, UpstreamID: fmt.Sprintf("00000000-0000-4000-8000-%012d", i), State: "sleeping", LastSeq: 100, ExpiresAt: expiry(i),
		})
		return err
	})
	if err != nil {
		return nil, err
	}
	talking, err := st.size()
	if err != nil {
		return nil, err
	}
	const looks = 20_000
	took := make([]time.Duration, 0, looks)
	for i := range looks {
		t := token(i * 7919 % n)
		begun := time.Now()
		_, found, err := st.FindCtx(ctx, t)
		took = append(took, time.Since(begun))
		if err != nil || !found {
			return nil, fmt.Errorf("visitor %d: found %v, error %w", i, found, err)
		}
	}
	slices.Sort(took)
	us := func(q float64) float64 { return float64(took[int(q*looks)].Nanoseconds()) / 1e3 }
	return result{
		findP50: us(.5), findP99: us(.99), bytesEach: (known - empty) / float64(n), withSession: (talking - empty) / float64(n),
	}, nil
}

// runCold starts the relay once more and asks it for a first byte.
func runCold(ctx context.Context, s *stage, _ bool) (result, error) {
	s.proc.stop()
	begun := time.Now()
	var err error
	if s.proc, err = s.peer.start(ctx, s); err != nil {
		return nil, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+s.addr+"/healthz", nil)
	if err != nil {
		return nil, err
	}
	res, err := s.http.Do(req)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	return result{firstByte: float64(time.Since(begun).Microseconds()) / 1e3}, nil
}
