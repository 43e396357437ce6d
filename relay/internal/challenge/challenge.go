package challenge

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	"github.com/anyframe-relay/relay/relay/internal/problem"
	"github.com/anyframe-relay/relay/relay/internal/store"
)

// Mode sets when a new session requires a solved challenge.
type Mode string

// The modes.
const (
	Off    Mode = "off"    // never
	Auto   Mode = "auto"   // when an address's rate, the day's budget or capacity runs low
	Always Mode = "always" // for every new session
)

const (
	// lifetime is how long a challenge is valid.
	lifetime = 10 * time.Minute
	// skew is how much longer a used solution is recorded, for processes whose clocks are
	// behind.
	skew = time.Minute
	// maxNumber is the maximum of the secret number. On average half of the range is
	// tried: about a second on a phone, see docs/security.md.
	maxNumber = 200_000
	// algorithm is the only supported one. The solver has its own hash function, because
	// Web Crypto is slower for inputs this short.
	algorithm = "SHA-256"
	// kind is the kind of the records of used challenges; the challenge is the key.
	kind = "challenge"
)

// The outcomes of challenges, for the metric.
const (
	Given     = "given"
	Passed    = "passed"
	Missing   = "missing"   // there was no solution
	Malformed = "malformed" // not a solution in canonical form, for example a spliced one
	Expired   = "expired"
	Foreign   = "foreign" // of another visitor, site or relay, or fabricated
	Used      = "used"    // by another turn
	Wrong     = "wrong"   // not the secret number
)

// Toll is what a visitor has paid for a new session.
type Toll uint8

// The tolls.
const (
	Free   Toll = iota // nothing, because no challenges are required
	Unpaid             // nothing, where low resources require a solved challenge
	Paid               // a solved challenge
)

// Results lists all outcomes.
func Results() []string {
	return []string{Given, Passed, Missing, Malformed, Expired, Foreign, Used, Wrong}
}

// Challenge is what a browser must solve: find the number, at most MaxNumber, such that
// the SHA-256 of Salt followed by the number is Challenge.
type Challenge struct {
	Algorithm string `json:"algorithm"`
	Challenge string `json:"challenge"`
	MaxNumber uint64 `json:"maxnumber"`
	Salt      string `json:"salt"`
	Signature string `json:"signature"`
}

// Store stores records. It is part of [store.Store].
type Store interface {
	Record(ctx context.Context, kind, key string) (store.Record, error)
	SaveRecord(ctx context.Context, r store.Record) (store.Record, error)
}

// Options configures a Booth.
type Options struct {
	Mode Mode
	// Secret is the same in all processes that share a store.
	Secret string
	Site   string
	Store  Store
	// Count is called with the outcomes of challenges.
	Count func(result string)
}

// Booth issues the challenges of one site and accepts their solutions. It is safe for
// concurrent use.
type Booth struct {
	Options
	key string
	max uint64 // the largest number

	hash func(text string) []byte
	sign func(key, text string) []byte
}

// New returns a booth.
func New(o Options) *Booth {
	secret := sha256.Sum256([]byte("challenge " + o.Secret))
	return &Booth{Options: o, key: hex.EncodeToString(secret[:]) + "/" + o.Site + "/", max: maxNumber, hash: sha256sum, sign: hmacSum}
}

func sha256sum(text string) []byte {
	sum := sha256.Sum256([]byte(text))
	return sum[:]
}

func hmacSum(key, text string) []byte {
	mac := hmac.New(sha256.New, []byte(key))
	mac.Write([]byte(text))
	return mac.Sum(nil)
}

// Give issues a new challenge for a visitor.
func (b *Booth) Give(visitor string) Challenge {
	b.Count(Given)
	var random [20]byte
	rand.Read(random[:])                                        // never fails: see crypto/rand
	number := binary.BigEndian.Uint64(random[:8]) % (b.max + 1) // the bias is below 2^-46
	salt := saltOf(random[8:], time.Now().Add(lifetime))
	sum := hex.EncodeToString(b.hash(fmt.Sprint(salt, number)))
	signature := hex.EncodeToString(b.sign(b.key+visitor, sum))
	return Challenge{algorithm, sum, b.max, salt, signature}
}

// Pass is a solution that proved correct, to be used by one turn.
type Pass struct {
	key     string // of the record
	turn    string
	expires time.Time
}

// Check checks a solution as received in the header. Turn is the key of the turn that
// presents it; with "", the solution must be unused. It returns [problem.ChallengeNeeded]
// for anything but a solution that this visitor may use for this turn. That costs at most
// one hash, unless only the number is wrong.
func (b *Booth) Check(ctx context.Context, visitor, header, turn string) (Pass, error) {
	refuse := func(result string) (Pass, error) {
		b.Count(result)
		return Pass{}, problem.ChallengeNeeded
	}
	if header == "" {
		return refuse(Missing)
	}
	s, expires, ok := parse(header, b.max)
	switch {
	case !ok:
		return refuse(Malformed)
	case !time.Now().Before(expires):
		return refuse(Expired)
	case !hmac.Equal(b.sign(b.key+visitor, s.Challenge), s.signature):
		return refuse(Foreign)
	}
	pass := Pass{s.Challenge, turn, expires}
	switch used, err := b.used(ctx, pass); {
	case err != nil:
		return Pass{}, err
	case used:
		return refuse(Used)
	case hex.EncodeToString(b.hash(s.Salt+s.number)) != s.Challenge: // so the salt is also ours
		return refuse(Wrong)
	}
	return pass, nil
}

// used reports whether another turn has used the solution.
func (b *Booth) used(ctx context.Context, p Pass) (bool, error) {
	r, err := b.Store.Record(ctx, kind, p.key)
	if errors.Is(err, store.ErrNotFound) {
		return false, nil
	}
	return err == nil && (p.turn == "" || r.Body != p.turn), err
}

// Use uses a solution up. It returns [problem.ChallengeNeeded] if another turn has used
// it first.
func (b *Booth) Use(ctx context.Context, p Pass) error {
	_, err := b.Store.SaveRecord(ctx, store.Record{Kind: kind, Key: p.key, Body: p.turn, ExpiresAt: p.expires.Add(skew)})
	if errors.Is(err, store.ErrConflict) {
		var used bool
		if used, err = b.used(ctx, p); used {
			b.Count(Used)
			err = problem.ChallengeNeeded
		}
	}
	if err == nil {
		b.Count(Passed)
	}
	return err
}
