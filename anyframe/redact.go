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

// shortestSecret is the least length of what is redacted, in bytes. What is
// shorter is no secret worth the holes it would leave in a message; New refuses
// such a key.
const shortestSecret = 8

// keysIn finds keys of this API, whole or cut off.
var keysIn = regexp.MustCompile(`afm_[A-Za-z0-9_-]+`)

// withoutKeys is a text of the server's, such as the reason of a failure, as it
// may be part of an error.
func withoutKeys(s string) string { return shortened(keysIn.ReplaceAllString(s, redacted)) }

// shortened cuts a text off: a whole error page is no message.
func shortened(s string) string {
	const longest = 500
	if len(s) <= longest {
		return s
	}
	return strings.ToValidUTF8(s[:longest], "") + "…"
}

// secretsOf are what no error of the request may have in it, the longest first:
// one may be part of another.
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

// redact removes the key, and the secrets that were in the request, from all
// that a server may have echoed. What the answer says was read before, and is
// redacted as text, so that no secret can change what it means.
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

// redactBody redacts JSON by its values, however they are escaped, and anything
// else as it is. It returns the same bytes when there is nothing to redact.
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
		// A body that was cut off may end in the middle of one.
		for n := len(secret) - 1; n >= len(secret)/2; n-- {
			if bytes.HasSuffix(body, []byte(secret[:n])) {
				body = append(bytes.Clone(body[:len(body)-n]), redacted...)
				break
			}
		}
	}
	return body
}

// redactValue redacts a decoded JSON value in place, and reports whether there
// was anything.
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
