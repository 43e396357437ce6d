package visitor

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"regexp"
	"strings"
	"time"
	"unicode/utf8"

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

var errCritical = errors.New("critical header parameters are not understood")

// claims are those of a JWT that matter here. encoding/json would take SUB for sub,
// the last of two, and any invalid UTF-8 for the same character; the website's
// library may not, and would then have signed for another user.
type claims struct {
	jwt.RegisteredClaims
	context json.RawMessage // nil: there is none
}

// UnmarshalJSON implements [json.Unmarshaler].
func (c *claims) UnmarshalJSON(data []byte) error {
	all, err := members(data)
	if err != nil {
		return err
	}
	for name, into := range map[string]any{"exp": &c.ExpiresAt, "nbf": &c.NotBefore, "iat": &c.IssuedAt, "aud": &c.Audience} {
		if raw, ok := all[name]; ok {
			if err := json.Unmarshal(raw, into); err != nil {
				return err
			}
		}
	}
	c.Subject = subjectOf(all["sub"])
	c.context = all["context"]
	return nil
}

// integer is a whole number as it is usually written.
var integer = regexp.MustCompile(`^(0|-?[1-9][0-9]*)$`)

// subjectOf returns the text of a sub, or that of a whole number: many websites
// number their users. It returns "" for what cannot name one person and no other.
func subjectOf(raw json.RawMessage) (subject string) {
	switch {
	case integer.Match(raw):
		subject = string(raw)
	case json.Unmarshal(raw, &subject) != nil, strings.ContainsRune(subject, utf8.RuneError): // half of a surrogate pair
		return ""
	}
	if len(subject) > maxSubjectBytes {
		return ""
	}
	return subject
}

var errMembers = errors.New("not a JSON object with each member once")

// members are the members of a JSON object by their exact names. Two of one name
// and invalid UTF-8 are errors.
func members(data []byte) (map[string]json.RawMessage, error) {
	dec := json.NewDecoder(bytes.NewReader(data))
	if t, err := dec.Token(); err != nil || t != json.Delim('{') || !utf8.Valid(data) {
		return nil, errMembers
	}
	all := map[string]json.RawMessage{}
	for dec.More() {
		t, err := dec.Token()
		name, ok := t.(string)
		if _, twice := all[name]; err != nil || !ok || twice {
			return nil, errMembers
		}
		var value json.RawMessage
		if dec.Decode(&value) != nil {
			return nil, errMembers
		}
		all[name] = value
	}
	if _, err := dec.Token(); err != nil { // the brace
		return nil, errMembers
	}
	return all, nil
}

// Subject returns the subject of a token, or why the token is not valid.
func (v *Verifier) Subject(token string) (subject, reason string) {
	id, reason := v.Identity(token)
	return id.Subject, reason
}

// Identity is what a token says of a visitor.
type Identity struct {
	Subject string
	Context json.RawMessage // of any form; nil if there is none
}

// Identity returns what a token says, or why it does not count.
func (v *Verifier) Identity(token string) (id Identity, reason string) {
	if len(token) > maxIdentityBytes {
		return id, "too long"
	}
	header, _, _ := strings.Cut(token, ".")
	raw, err := base64.RawURLEncoding.DecodeString(header)
	if err != nil {
		return id, "malformed"
	}
	if _, err := members(raw); err != nil {
		return id, "malformed"
	}
	var c claims
	_, err = v.parser.ParseWithClaims(token, &c, func(t *jwt.Token) (any, error) {
		if _, ok := t.Header["crit"]; ok { // RFC 7515 section 4.1.11
			return nil, errCritical
		}
		return v.key, nil
	})
	switch {
	case errors.Is(err, jwt.ErrTokenMalformed):
		return id, "malformed"
	case errors.Is(err, jwt.ErrTokenUnverifiable), errors.Is(err, jwt.ErrTokenSignatureInvalid):
		return id, "signature"
	case errors.Is(err, jwt.ErrTokenExpired):
		return id, ReasonExpired
	case errors.Is(err, jwt.ErrTokenNotValidYet):
		return id, "not valid yet"
	case errors.Is(err, jwt.ErrTokenInvalidAudience):
		return id, "another audience"
	case err != nil:
		return id, "claims"
	case v.audience == "" && strings.Join(c.Audience, "") != "": // RFC 7519 section 4.1.3
		return id, "has an audience, but RELAY_IDENTITY_AUDIENCE is not set"
	case c.Subject == "":
		return id, "sub"
	}
	return Identity{c.Subject, c.context}, ""
}

// ReasonExpired says that a token was good once.
const ReasonExpired = "expired"
