package anyframe

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
)

// Secret is a token that prints as afm_…wxyz, also in JSON and logs. A call sends
// its value, also from a map or list in a request's body, and keeps it out of its
// errors. The zero value is no token.
type Secret struct {
	value *string // fmt prints no strings behind pointers, even where it ignores methods
}

// NewSecret returns a Secret with the token.
func NewSecret(token string) Secret { return Secret{&token} }

// Reveal returns the token itself.
func (s Secret) Reveal() string {
	if s.value == nil {
		return ""
	}
	return *s.value
}

// String returns the masked token.
func (s Secret) String() string {
	const prefix, last, enough = "afm_", 4, 16
	token := s.Reveal()
	switch {
	case token == "":
		return ""
	case len(token) < enough: // four characters would be too much of it
		return "…"
	case strings.HasPrefix(token, prefix):
		return prefix + "…" + token[len(token)-last:]
	}
	return "…" + token[len(token)-last:]
}

// Format writes String for every verb.
func (s Secret) Format(f fmt.State, _ rune) { fmt.Fprint(f, s.String()) }

// LogValue returns String.
func (s Secret) LogValue() slog.Value { return slog.StringValue(s.String()) }

// MarshalText returns String.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText stores a token, like NewSecret.
func (s *Secret) UnmarshalText(token []byte) error {
	*s = NewSecret(string(token))
	return nil
}

// EnvVars are environment variables by name. Names match [A-Z_][A-Z0-9_]*. The
// values print as ****, also in JSON and logs; the server masks them in responses.
type EnvVars map[string]string

const maskedValue = "****"

// String returns the names.
func (v EnvVars) String() string { return fmt.Sprint(v.masked()) }

// Format writes String for every verb.
func (v EnvVars) Format(f fmt.State, _ rune) { fmt.Fprint(f, v.String()) }

// LogValue returns String.
func (v EnvVars) LogValue() slog.Value { return slog.StringValue(v.String()) }

// MarshalJSON writes the names.
func (v EnvVars) MarshalJSON() ([]byte, error) { return json.Marshal(v.masked()) }

func (v EnvVars) masked() map[string]string {
	if v == nil {
		return nil
	}
	names := make(map[string]string, len(v))
	for name := range v {
		names[name] = maskedValue
	}
	return names
}

func (v EnvVars) values() []string {
	list := make([]string, 0, len(v))
	for _, value := range v {
		list = append(list, value)
	}
	return list
}
