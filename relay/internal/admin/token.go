package admin

import (
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"strings"

	"github.com/anyframe-relay/relay/relay/internal/redact"
)

// Token authenticates an operator.
type Token struct {
	Name   string // for the audit lines
	Secret redact.Secret
}

// DefaultName is the name of a token without one, and of every client of an API without
// tokens.
const DefaultName = "operator"

// minToken is the minimum length of a token in bytes.
const minToken = 16

var namePattern = regexp.MustCompile(`^[A-Za-z0-9_.@-]{1,32}$`)

// ParseTokens parses a list such as alice:secret,bob:secret. A name may occur twice, so
// that a token can be rotated without interruption. The error quotes no token.
func ParseTokens(list string) ([]Token, error) {
	var tokens []Token
	seen := map[redact.Secret]bool{}
	for i, item := range strings.Split(list, ",") {
		name, secret, named := strings.Cut(strings.TrimSpace(item), ":")
		if !named {
			name, secret = DefaultName, name
		}
		wrong := func(why string) error { return fmt.Errorf("entry %d %s", i+1, why) }
		switch {
		case !namePattern.MatchString(name):
			return nil, wrong("must be name:token, with a name of A-Z, a-z, 0-9, _, ., @ and -, at most 32 characters")
		case len(secret) < minToken:
			return nil, wrong("has a token shorter than 16 bytes; create one with openssl rand -hex 32")
		case strings.ContainsFunc(secret, func(r rune) bool { return r <= ' ' || r > '~' }):
			return nil, wrong("has a token with a character that is not printable ASCII")
		case seen[redact.Secret(secret)]:
			return nil, wrong("has the same token as another entry")
		}
		seen[redact.Secret(secret)] = true
		tokens = append(tokens, Token{name, redact.Secret(secret)})
	}
	return tokens, nil
}

var errToken = errors.New("no such token")

// identify returns the name of the operator who sent the request. It takes the same time
// for every wrong token. Without tokens every client is [DefaultName].
func identify(tokens []Token, r *http.Request) (name string, err error) {
	if len(tokens) == 0 {
		return DefaultName, nil
	}
	scheme, got, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if !strings.EqualFold(scheme, "Bearer") {
		got = ""
	}
	sum := sha256.Sum256([]byte(strings.TrimSpace(got)))
	err = errToken
	for _, t := range tokens {
		want := sha256.Sum256([]byte(t.Secret))
		if subtle.ConstantTimeCompare(sum[:], want[:]) == 1 {
			name, err = t.Name, nil
		}
	}
	return name, err
}
