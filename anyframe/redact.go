package anyframe

import (
	"bytes"
	"cmp"
	"encoding/json"
	"regexp"
	"slices"
	"strings"
)

const redacted = "[redacted]"

// shortestSecret is the shortest length that is redacted, in bytes. Redacting
// shorter strings would damage messages without protecting a secret; New refuses
// such a key.
const shortestSecret = 8

// keysIn finds keys of this API, complete or cut off.
var keysIn = regexp.MustCompile(`afm_[A-Za-z0-9_-]+`)

// withoutKeys returns a text of the server, such as the reason of a failure,
// without keys, for use in an error.
func withoutKeys(s string) string { return shortened(keysIn.ReplaceAllString(s, redacted)) }

// shortened truncates a text: a whole error page is not a message.
func shortened(s string) string {
	const longest = 500
	if len(s) <= longest {
		return s
	}
	return strings.ToValidUTF8(s[:longest], "") + "…"
}

// secretsOf returns the secrets that must not appear in an error of the request,
// the longest first, because one may be part of another.
func (c *Client) secretsOf(r request) []string {
	secrets := []string{c.key.reveal()}
	for _, s := range r.secrets {
		if len(s) >= shortestSecret {
			secrets = append(secrets, s)
		}
	}
	slices.SortStableFunc(secrets, func(a, b string) int { return cmp.Compare(len(b), len(a)) })
	return secrets
}

// redact removes the key and the request's secrets from everything that a server
// may have echoed. The message and the fields were decoded before and are redacted
// as text, so that a secret cannot change their structure.
func (c *Client) redact(e *Error, r request) {
	secrets := c.secretsOf(r)
	e.Body = redactBody(e.Body, secrets)
	e.Detail = redactBody(e.Detail, secrets)
	e.Message = redactText(e.Message, secrets)
	e.RequestID = redactText(e.RequestID, secrets)
	for i := range e.Fields {
		e.Fields[i].Msg = redactText(e.Fields[i].Msg, secrets)
		e.Fields[i].Type = redactText(e.Fields[i].Type, secrets)
		for j, part := range e.Fields[i].Loc {
			e.Fields[i].Loc[j], _ = redactValue(part, secrets)
		}
	}
	for _, values := range e.Header {
		for i, v := range values {
			values[i] = redactText(v, secrets)
		}
	}
}

func redactText(s string, secrets []string) string {
	for _, secret := range secrets {
		s = strings.ReplaceAll(s, secret, redacted)
	}
	return s
}

// redactBody redacts the values of JSON, however they are escaped, and other bodies
// as text. It returns the same slice if there is nothing to redact.
func redactBody(body []byte, secrets []string) []byte {
	if len(body) == 0 {
		return body
	}
	var v any
	dec := json.NewDecoder(bytes.NewReader(body))
	dec.UseNumber()
	if json.Valid(body) && dec.Decode(&v) == nil {
		v, changed := redactValue(v, secrets)
		if !changed {
			return body
		}
		if text, err := encodeBody(v); err == nil {
			return text
		}
	}
	for _, secret := range secrets {
		body = bytes.ReplaceAll(body, []byte(secret), []byte(redacted))
		quoted, err := json.Marshal(secret)
		if inJSON := strings.Trim(string(quoted), `"`); err == nil && inJSON != secret {
			body = bytes.ReplaceAll(body, []byte(inJSON), []byte(redacted))
		}
		// A truncated body may end in the middle of a secret.
		for n := len(secret) - 1; n >= len(secret)/2; n-- {
			if bytes.HasSuffix(body, []byte(secret[:n])) {
				body = append(bytes.Clone(body[:len(body)-n]), redacted...)
				break
			}
		}
	}
	return body
}

// redactValue redacts a decoded JSON value in place, and reports whether it changed
// anything.
func redactValue(v any, secrets []string) (_ any, changed bool) {
	switch v := v.(type) {
	case string:
		s := redactText(v, secrets)
		return s, s != v
	case json.Number:
		if s := redactText(v.String(), secrets); s != v.String() {
			return s, true
		}
	case []any:
		for i := range v {
			item, did := redactValue(v[i], secrets)
			v[i], changed = item, changed || did
		}
		return v, changed
	case map[string]any:
		for name, value := range v {
			item, did := redactValue(value, secrets)
			v[name], changed = item, changed || did
			if plain := redactText(name, secrets); plain != name {
				delete(v, name)
				v[plain], changed = item, true
			}
		}
		return v, changed
	}
	return v, false
}
