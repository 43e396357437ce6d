package visitor

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"
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
)

// Verifier verifies the website's own sign-in tokens, which say who a visitor is
// on whatever device.
type Verifier struct {
	parser   *jwt.Parser
	key      any
	audience string
}

// NewVerifier takes the key that verifies JWTs: an HS256 secret of 32 bytes or
// more, or a PEM public key (RS256, ES256, EdDSA). Every token must have the
// audience in its aud; without an audience, none may have one. NewVerifier
// returns nil when there is no key.
func NewVerifier(identityKey, audience string) (*Verifier, error) {
	if identityKey == "" {
		return nil, nil
	}
	key, method, err := parseIdentityKey(identityKey)
	if err != nil {
		return nil, err
	}
	opts := []jwt.ParserOption{
		jwt.WithValidMethods([]string{method}), jwt.WithExpirationRequired(), jwt.WithLeeway(identityLeeway), jwt.WithStrictDecoding(),
	}
	if audience != "" {
		opts = append(opts, jwt.WithAudience(audience))
	}
	return &Verifier{jwt.NewParser(opts...), key, audience}, nil
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

// Subject returns whom a token is about, or why it does not count.
func (v *Verifier) Subject(token string) (subject, reason string) {
	if len(token) > maxIdentityBytes {
		return "", "too long"
	}
	var c jwt.RegisteredClaims
	_, err := v.parser.ParseWithClaims(token, &c, func(t *jwt.Token) (any, error) {
		if _, ok := t.Header["crit"]; ok { // RFC 7515 section 4.1.11
			return nil, errCritical
		}
		return v.key, nil
	})
	switch {
	case errors.Is(err, jwt.ErrTokenMalformed):
		return "", "malformed"
	case errors.Is(err, jwt.ErrTokenUnverifiable), errors.Is(err, jwt.ErrTokenSignatureInvalid):
		return "", "signature"
	case errors.Is(err, jwt.ErrTokenExpired):
		return "", ReasonExpired
	case errors.Is(err, jwt.ErrTokenNotValidYet):
		return "", "not valid yet"
	case errors.Is(err, jwt.ErrTokenInvalidAudience):
		return "", "another audience"
	case err != nil:
		return "", "claims"
	case v.audience == "" && strings.Join(c.Audience, "") != "": // RFC 7519 section 4.1.3
		return "", "meant for an audience, and RELAY_IDENTITY_AUDIENCE is not set"
	case c.Subject == "" || len(c.Subject) > maxSubjectBytes:
		return "", "sub"
	}
	return c.Subject, ""
}

// ReasonExpired says that a token was good once.
const ReasonExpired = "expired"
