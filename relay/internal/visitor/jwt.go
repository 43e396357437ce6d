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
	// minIdentitySecret is the minimum length of an HS256 secret in bytes: the length of
	// its hash (RFC 7518 section 3.2), which prevents brute force.
	minIdentitySecret = 32
	minRSABits        = 2048
	maxIdentityBytes  = 8 << 10
	maxSubjectBytes   = 255
	// identityLeeway is the tolerated difference between the website's clock and ours.
	identityLeeway = 30 * time.Second
)

// Verifier verifies the website's own sign-in tokens, which identify a visitor on any
// device.
type Verifier struct {
	parser   *jwt.Parser
	key      any
	audience string
}

// NewVerifier parses the key that verifies JWTs: an HS256 secret of at least 32 bytes, or
// a PEM public key (RS256, ES256, EdDSA). With an audience, every token must have it in
// its aud; without one, a token must have no aud. NewVerifier returns nil if there is no
// key.
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

// claims are the claims of a JWT that are used here. encoding/json would accept SUB for
// sub, use the last of two equal names, and replace any invalid UTF-8 by the same
// character. The website's library may not, and would then have signed for another user.
type claims struct {
	jwt.RegisteredClaims
	context json.RawMessage // nil if there is none
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

// integer matches a whole number in its usual form.
var integer = regexp.MustCompile(`^(0|-?[1-9][0-9]*)$`)

// subjectOf returns the text of a sub that is a string or a whole number, because many
// websites number their users. It returns "" for a value that does not identify exactly
// one person.
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

// members returns the members of a JSON object by their exact names. Duplicate names and
// invalid UTF-8 are errors.
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

// Identity is what a token says about a visitor.
type Identity struct {
	Subject string
	Context json.RawMessage // any JSON value; nil if there is none
}

// Identity returns the identity in a token, or why the token is not valid.
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

// ReasonExpired is the reason for a token that was valid once.
const ReasonExpired = "expired"
