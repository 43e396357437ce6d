package relay

import (
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/anyframe-relay/relay/relay/internal/problem"
	"github.com/anyframe-relay/relay/relay/store"
)

const (
	// minIdentitySecret is how long an HS256 secret must be: as long as what it
	// makes (RFC 7518 section 3.2), so that it cannot be found by trying.
	minIdentitySecret = 32
	minRSABits        = 2048
	maxIdentityBytes  = 8 << 10
	maxSubjectBytes   = 255
	// identityLeeway is how far the website's clock may be from ours.
	identityLeeway = 30 * time.Second
	noteIdentity   = "identity"
)

// identities verifies the website's own sign-in tokens, which say who a visitor
// is on whatever device.
type identities struct {
	parser   *jwt.Parser
	key      any
	audience string
}

// newIdentities returns nil when there is no key.
func newIdentities(c *Config) (*identities, error) {
	if c.IdentityKey == "" {
		return nil, nil
	}
	key, method, err := parseIdentityKey(string(c.IdentityKey))
	if err != nil {
		return nil, err
	}
	opts := []jwt.ParserOption{
		jwt.WithValidMethods([]string{method}), jwt.WithExpirationRequired(), jwt.WithLeeway(identityLeeway), jwt.WithStrictDecoding(),
	}
	if c.IdentityAudience != "" {
		opts = append(opts, jwt.WithAudience(c.IdentityAudience))
	}
	return &identities{jwt.NewParser(opts...), key, c.IdentityAudience}, nil
}

// parseIdentityKey reads a PEM public key, whose line ends may be written \n, or
// else a secret. The kind of the key fixes the one method that tokens may be
// signed by, so that nobody can sign with a public key as if it were a secret.
func parseIdentityKey(s string) (key any, method string, err error) {
	if !strings.Contains(s, "-----BEGIN") {
		switch {
		case publicLooking(s):
			return nil, "", errors.New("is a public key without its PEM lines; as a secret it would be known to everybody")
		case len(s) < minIdentitySecret:
			return nil, "", errors.New("is a secret of fewer than 32 bytes, which can be guessed")
		}
		return []byte(s), jwt.SigningMethodHS256.Alg(), nil
	}
	block, rest := pem.Decode([]byte(strings.ReplaceAll(s, `\n`, "\n")))
	switch {
	case block == nil || strings.TrimSpace(string(rest)) != "":
		return nil, "", errors.New("must be one PEM public key and nothing else")
	case strings.Contains(block.Type, "PRIVATE"):
		return nil, "", errors.New("is a private key, which stays with the website; give its public key")
	}
	if key, err = x509.ParsePKIXPublicKey(block.Bytes); err != nil {
		if key, err = x509.ParsePKCS1PublicKey(block.Bytes); err != nil {
			return nil, "", errors.New("is not a PEM public key")
		}
	}
	switch k := key.(type) {
	case *rsa.PublicKey:
		if k.N.BitLen() < minRSABits {
			return nil, "", errors.New("is an RSA key of fewer than 2048 bits")
		}
		return k, jwt.SigningMethodRS256.Alg(), nil
	case *ecdsa.PublicKey:
		if k.Curve == elliptic.P256() {
			return k, jwt.SigningMethodES256.Alg(), nil
		}
	case ed25519.PublicKey:
		return k, jwt.SigningMethodEdDSA.Alg(), nil
	}
	return nil, "", errors.New("must be an RSA, P-256 or Ed25519 key, for RS256, ES256 or EdDSA")
}

// publicLooking reports a public key in other clothes than PEM.
func publicLooking(s string) bool {
	if strings.HasPrefix(s, "{") || strings.HasPrefix(s, "ssh-") || strings.HasPrefix(s, "ecdsa-") {
		return true
	}
	der, err := base64.StdEncoding.DecodeString(strings.Join(strings.Fields(strings.ReplaceAll(s, `\n`, " ")), ""))
	if err != nil {
		return false
	}
	_, err = x509.ParsePKIXPublicKey(der)
	_, err1 := x509.ParsePKCS1PublicKey(der)
	return err == nil || err1 == nil
}

var errCritical = errors.New("critical header parameters are not understood")

// subject returns whom a token is about, or why it does not count.
func (i *identities) subject(token string) (subject, reason string) {
	if len(token) > maxIdentityBytes {
		return "", "too long"
	}
	var c jwt.RegisteredClaims
	_, err := i.parser.ParseWithClaims(token, &c, func(t *jwt.Token) (any, error) {
		if _, ok := t.Header["crit"]; ok { // RFC 7515 section 4.1.11
			return nil, errCritical
		}
		return i.key, nil
	})
	switch {
	case errors.Is(err, jwt.ErrTokenMalformed):
		return "", "malformed"
	case errors.Is(err, jwt.ErrTokenUnverifiable), errors.Is(err, jwt.ErrTokenSignatureInvalid):
		return "", "signature"
	case errors.Is(err, jwt.ErrTokenExpired):
		return "", reasonExpired
	case errors.Is(err, jwt.ErrTokenNotValidYet):
		return "", "not valid yet"
	case errors.Is(err, jwt.ErrTokenInvalidAudience):
		return "", "another audience"
	case err != nil:
		return "", "claims"
	case i.audience == "" && strings.Join(c.Audience, "") != "": // RFC 7519 section 4.1.3
		return "", "meant for an audience, and RELAY_IDENTITY_AUDIENCE is not set"
	case c.Subject == "" || len(c.Subject) > maxSubjectBytes:
		return "", "sub"
	}
	return c.Subject, ""
}

const reasonExpired = "expired"

// verify returns whom the website says the visitor is, or the refusal. Why a
// token was refused is the operator's to know; nothing of it is logged.
func (s *Server) verify(w http.ResponseWriter, token string) (subject string, err error) {
	if s.identities == nil {
		return "", problem.Identity.With("This relay does not take identities.")
	}
	subject, reason := s.identities.subject(token)
	switch reason {
	case "":
		return subject, nil
	case reasonExpired:
		err = problem.Identity.With("The identity has expired; a fresh one is needed.")
	default:
		err = problem.Identity.With("The identity could not be verified; a fresh one is needed.")
	}
	s.log.Info("identity refused", "request", w.Header().Get(requestIDHeader), "reason", reason)
	return "", err
}

// identified returns the visitor whom the website calls subject, the same one
// on every device and at every replica. The store knows the subject by a hash
// only. Its row outlives every token that was given out by it.
func (s *Server) identified(ctx context.Context, subject string) (visitor string, err error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), storeTimeout)
	defer cancel()
	sum := sha256.Sum256([]byte("identity\x00" + subject))
	ttl := s.config.VisitorTTL
	row := store.Note{Visitor: "identity:" + hex.EncodeToString(sum[:]), Kind: noteIdentity, Key: visitorIDKey, Body: rand.Text()}
	for {
		row.ExpiresAt = time.Now().Add(ttl + ttl/5)
		stored, fresh, err := s.store.BeginNote(ctx, row)
		if err != nil || fresh || time.Until(stored.ExpiresAt) > ttl+ttl/10 {
			return stored.Body, err
		}
		stored.ExpiresAt = row.ExpiresAt
		_, err = s.store.SaveNote(ctx, stored)
		if !errors.Is(err, store.ErrConflict) && !errors.Is(err, store.ErrNotFound) {
			return stored.Body, err
		}
	}
}

// recognise returns whom a request is to be taken for: presented is the visitor
// whose token it carries, if it is known, and subject whom the website says it
// is, if it says so. A token goes with one visitor for good: whoever turns out
// to be another gets another token, and the old one is void.
func (s *Server) recognise(ctx context.Context, presented who, known bool, subject string) (who, error) {
	id := presented.id
	if subject != "" {
		var err error
		if id, err = s.identified(ctx, subject); err != nil {
			return who{}, err
		}
	}
	switch {
	case known && id == presented.id && presented.identified && subject == "":
		return presented, nil // the website must say it again before there is more time
	case known && id == presented.id:
		v, err := s.extend(ctx, presented)
		if !errors.Is(err, problem.VisitorUnknown) {
			return v, err
		}
	}
	if s.hub.Draining() {
		return who{}, problem.Draining
	}
	if subject == "" {
		id = rand.Text()
	}
	v, err := s.mint(ctx, id, subject != "")
	if err == nil && known && id != presented.id {
		err = s.dismiss(ctx, presented)
	}
	return v, err
}
