package challenge

import (
	"context"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/anyframe-relay/relay/relay/internal/problem"
	"github.com/anyframe-relay/relay/relay/internal/store"
	"github.com/anyframe-relay/relay/relay/internal/store/memory"
)

// most is the largest number in these tests.
const most = 3000

// bench is a booth that counts its work, and whose challenges are easy.
type bench struct {
	*Booth
	hashes, calls atomic.Int64
	mu            sync.Mutex
	results       []string
}

// counted counts the calls to the store.
type counted struct {
	Store
	calls *atomic.Int64
}

func (c counted) Record(ctx context.Context, kind, key string) (store.Record, error) {
	c.calls.Add(1)
	return c.Store.Record(ctx, kind, key)
}

func (c counted) SaveRecord(ctx context.Context, r store.Record) (store.Record, error) {
	c.calls.Add(1)
	return c.Store.SaveRecord(ctx, r)
}

func newBench(site string, st Store) *bench {
	b := &bench{}
	b.Booth = New(Options{Mode: Always, Secret: "afm_test", Site: site, Store: counted{st, &b.calls}, Count: func(result string) {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.results = append(b.results, result)
	}})
	b.max = most
	hash, sign := b.hash, b.sign
	b.hash = func(text string) []byte { b.hashes.Add(1); return hash(text) }
	b.sign = func(key, text string) []byte { b.hashes.Add(1); return sign(key, text) }
	return b
}

// last returns the last outcome that was counted.
func (b *bench) last() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.results[len(b.results)-1]
}

// solve finds the number of a challenge by brute force.
func solve(t *testing.T, c Challenge) map[string]any {
	t.Helper()
	for n := range c.MaxNumber + 1 {
		if hex.EncodeToString(sha256sum(fmt.Sprint(c.Salt, n))) == c.Challenge {
			return map[string]any{"algorithm": c.Algorithm, "challenge": c.Challenge, "number": n, "salt": c.Salt, "signature": c.Signature}
		}
	}
	t.Fatal("the challenge has no solution")
	return nil
}

func header(s any) string {
	text, ok := s.(string)
	if !ok {
		body, _ := json.Marshal(s)
		text = string(body)
	}
	return base64.StdEncoding.EncodeToString([]byte(text))
}

// but returns a solution with some members changed.
func but(s map[string]any, pairs ...any) string {
	changed := maps.Clone(s)
	for i := 0; i < len(pairs); i += 2 {
		changed[pairs[i].(string)] = pairs[i+1]
	}
	return header(changed)
}

// pass uses a solution of the visitor v.
func (b *bench) pass(t *testing.T, header, turn string) {
	t.Helper()
	p, err := b.Check(t.Context(), "v", header, turn)
	if err == nil {
		err = b.Use(t.Context(), p)
	}
	if err != nil {
		t.Fatalf("got %v (%s), want it passed", err, b.last())
	}
}

func TestCheck_Solution_PassesOnceAndForRepeatsOfItsTurn(t *testing.T) {
	st := memory.New()
	here, there := newBench("a", st), newBench("a", st) // two processes
	s := header(solve(t, here.Give("v")))
	for range 2 { // checking does not use it up
		if _, err := there.Check(t.Context(), "v", s, "k1"); err != nil {
			t.Fatalf("got %v, want a pass of another process", err)
		}
	}
	here.pass(t, s, "k1")
	there.pass(t, s, "k1")
	for _, b := range []*bench{here, there} {
		for _, turn := range []string{"k2", ""} {
			if _, err := b.Check(t.Context(), "v", s, turn); !errors.Is(err, problem.ChallengeNeeded) || b.last() != Used {
				t.Errorf("turn %q: got %v (%s), want it refused as used", turn, err, b.last())
			}
		}
	}
	alone := header(solve(t, here.Give("v")))
	here.pass(t, alone, "")
	if _, err := here.Check(t.Context(), "v", alone, ""); !errors.Is(err, problem.ChallengeNeeded) {
		t.Errorf("without a turn, again: got %v, want it refused", err)
	}
}

func TestUse_TurnsAtOnce_OnePasses(t *testing.T) {
	st := memory.New()
	s := header(solve(t, newBench("a", st).Give("v")))
	var booths []*bench
	var passes []Pass
	for i := range 8 {
		b := newBench("a", st)
		p, err := b.Check(t.Context(), "v", s, fmt.Sprint("k", i))
		if err != nil {
			t.Fatal(err)
		}
		booths, passes = append(booths, b), append(passes, p)
	}
	var passed atomic.Int64
	var wg sync.WaitGroup
	for i, b := range booths {
		wg.Go(func() {
			switch err := b.Use(context.Background(), passes[i]); {
			case err == nil:
				passed.Add(1)
			case !errors.Is(err, problem.ChallengeNeeded) || b.last() != Used:
				t.Errorf("got %v (%s), want it refused as used", err, b.last())
			}
		})
	}
	wg.Wait()
	if n := passed.Load(); n != 1 {
		t.Errorf("got %d turns passed by one solution, want 1", n)
	}
}

// A refusal costs at most one hash, and one call to the store where only that can tell.
// If only the number is wrong, it also costs the hash that shows it.
func TestCheck_NoGood_RefusedAtTheCostOfOneHash(t *testing.T) {
	st := memory.New()
	b := newBench("a", st)
	given := b.Give("v")
	s := solve(t, given)
	number := fmt.Sprint(s["number"])
	raw := func(number string) string {
		return header(fmt.Sprintf(`{"algorithm":"SHA-256","challenge":%q,"number":%s,"salt":%q,"signature":%q}`, given.Challenge, number, given.Salt, given.Signature))
	}
	used := header(solve(t, b.Give("v")))
	b.pass(t, used, "k0")
	old := strings.Replace(given.Salt, "expires=1", "expires=1000000000&x=1", 1)
	late := strings.Replace(given.Salt, "&", "0&", 1)
	for name, tt := range map[string]struct {
		header, result string
		hashes, calls  int64
	}{
		"nothing":               {"", Missing, 0, 0},
		"no base64":             {"{}", Malformed, 0, 0},
		"no JSON":               {header("x"), Malformed, 0, 0},
		"too long":              {strings.Repeat("A", 2048), Malformed, 0, 0},
		"another algorithm":     {but(s, "algorithm", "SHA-1"), Malformed, 0, 0},
		"spliced":               {but(s, "salt", given.Salt+number[:1], "number", json.Number("1"+number[1:])), Malformed, 0, 0},
		"spliced the other way": {raw(`"&` + number + `"`), Malformed, 0, 0},
		"the expiry spliced":    {but(s, "salt", late), Wrong, 2, 1},
		"another parameter":     {but(s, "salt", old), Malformed, 0, 0},
		"a number as text":      {raw(`"` + number + `"`), Malformed, 0, 0},
		"a number with zeros":   {raw("0" + number), Malformed, 0, 0},
		"a number with point":   {raw(number + ".0"), Malformed, 0, 0},
		"a number with power":   {raw(number + "e0"), Malformed, 0, 0},
		"a negative number":     {raw("-" + number), Malformed, 0, 0},
		"a number too large":    {raw("3001"), Malformed, 0, 0},
		"upper case":            {but(s, "challenge", strings.ToUpper(given.Challenge)), Malformed, 0, 0},
		"made up":               {but(s, "challenge", hex.EncodeToString(sha256sum(given.Salt+"7")), "number", 7), Foreign, 1, 0},
		"a foreign signature":   {but(s, "signature", strings.Repeat("0", 64)), Foreign, 1, 0},
		"used":                  {used, Used, 1, 1},
		"another number":        {but(s, "number", (s["number"].(uint64)+1)%most), Wrong, 2, 1},
		"another salt":          {but(s, "salt", newBench("a", st).Give("v").Salt), Wrong, 2, 1},
	} {
		t.Run(name, func(t *testing.T) {
			b.hashes.Store(0)
			b.calls.Store(0)
			_, err := b.Check(t.Context(), "v", tt.header, "k1")
			if !errors.Is(err, problem.ChallengeNeeded) || b.last() != tt.result {
				t.Errorf("got %v (%s), want it refused as %s", err, b.last(), tt.result)
			}
			if h, c := b.hashes.Load(), b.calls.Load(); h > tt.hashes || c > tt.calls {
				t.Errorf("got %d hashes and %d calls of the store, want %d and %d", h, c, tt.hashes, tt.calls)
			}
		})
	}
	for name, foreign := range map[string]struct {
		booth   *bench
		visitor string
	}{
		"another visitor":               {b, "w"},
		"another site":                  {newBench("b", st), "v"},
		"the default site":              {newBench("", st), "v"},
		"names that meet":               {newBench("", st), "a/v"},
		"a relay with another key":      {&bench{Booth: New(Options{Secret: "afm_other", Site: "a", Store: st, Count: func(string) {}})}, "v"},
		"a visitor with a longer name":  {b, "vv"},
		"a visitor with a shorter name": {b, ""},
	} {
		t.Run(name, func(t *testing.T) {
			foreign.booth.hashes.Store(0)
			foreign.booth.calls.Store(0)
			if _, err := foreign.booth.Check(t.Context(), foreign.visitor, header(s), "k1"); !errors.Is(err, problem.ChallengeNeeded) {
				t.Errorf("got %v, want it refused", err)
			}
			if h, c := foreign.booth.hashes.Load(), foreign.booth.calls.Load(); h > 1 || c != 0 {
				t.Errorf("got %d hashes and %d calls of the store, want 1 and none", h, c)
			}
		})
	}
	b.pass(t, header(s), "k1") // after all that
}

func TestCheck_Expired_RefusedAtNoCostAndKeptNoLonger(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := memory.New()
		b := newBench("a", st)
		first, second := header(solve(t, b.Give("v"))), header(solve(t, b.Give("v")))
		time.Sleep(lifetime - 2*time.Second)
		b.pass(t, first, "k1")
		time.Sleep(2 * time.Second)
		b.hashes.Store(0)
		b.calls.Store(0)
		for _, s := range []string{first, second} {
			if _, err := b.Check(t.Context(), "v", s, "k1"); !errors.Is(err, problem.ChallengeNeeded) || b.last() != Expired {
				t.Errorf("got %v (%s), want it refused as expired", err, b.last())
			}
		}
		if b.hashes.Load() != 0 || b.calls.Load() != 0 {
			t.Errorf("got %d hashes and %d calls of the store, want none", b.hashes.Load(), b.calls.Load())
		}
		time.Sleep(skew)
		if rows, err := st.Records(t.Context(), kind, "", 10); err != nil || len(rows) != 0 {
			t.Errorf("got %d rows, %v, want none of an expired challenge", len(rows), err)
		}
	})
}

func TestCheck_StoreAway_IsNoRefusalOfTheSolution(t *testing.T) {
	st := memory.New()
	b := newBench("a", st)
	s := header(solve(t, b.Give("v")))
	if err := st.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Check(t.Context(), "v", s, "k1"); !errors.Is(err, store.ErrClosed) {
		t.Errorf("got %v, want the store's error", err)
	}
}

func FuzzParse(f *testing.F) {
	b := New(Options{Secret: "afm_test", Store: memory.New(), Count: func(string) {}})
	c := b.Give("v")
	f.Add(fmt.Sprintf(`{"algorithm":"SHA-256","challenge":%q,"number":1,"salt":%q,"signature":%q}`, c.Challenge, c.Salt, c.Signature))
	f.Add(`{}`)
	f.Fuzz(func(t *testing.T, text string) {
		s, _, ok := parse(base64.StdEncoding.EncodeToString([]byte(text)), most)
		if !ok {
			return
		}
		// What was hashed can be split into salt and number in only one way.
		if whole := s.Salt + s.number; strings.LastIndexByte(whole, '&') != len(s.Salt)-1 || strings.Count(whole, "&") != 1 {
			t.Errorf("got salt %q and number %q", s.Salt, s.number)
		}
	})
}
