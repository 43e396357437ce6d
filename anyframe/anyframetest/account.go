package anyframetest

import (
	"crypto/rand"
	"crypto/subtle"
	"net/http"
	"slices"
	"time"
)

// A token is an API key created through the API.
type token struct {
	id      int64
	name    string
	secret  string
	created time.Time
	revoked bool
}

func (t *token) number() int64 { return t.id }

// A credential is a secret of another service, stored for the agents.
type credential struct {
	secret  string // "" if it is not set
	updated time.Time
}

// services are the services that a credential can be for.
var services = []string{"claude", "codex", "github"}

func (s *Server) me(*call) answer {
	return success(http.StatusOK, encode(map[string]any{
		"id": 1, "github_id": 1001, "login": "operator", "name": "The operator", "avatar_url": nil,
	}))
}

// accepts reports whether the server serves requests with the key: its own, and
// every token that is not revoked.
func (s *Server) accepts(key string) bool {
	same := func(secret string) bool { return subtle.ConstantTimeCompare([]byte(key), []byte(secret)) == 1 }
	if same(s.key) {
		return true
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.ContainsFunc(s.tokens, func(t *token) bool { return !t.revoked && same(t.secret) })
}

func (s *Server) listTokens(*call) answer {
	live := slices.DeleteFunc(slices.Clone(s.tokens), func(t *token) bool { return t.revoked })
	return answerList(live, func(t *token) any { return t.view() })
}

func (s *Server) createToken(c *call) answer {
	f := c.form()
	t := &token{name: f.word("name"), secret: "afm_test_" + rand.Text(), created: time.Now()}
	if f.bad() {
		return f.refusal()
	}
	t.id = s.newNumber()
	s.secret(t.secret)
	s.tokens = append(s.tokens, t)
	view := t.view()
	view["token"] = t.secret
	return success(http.StatusCreated, encode(view))
}

func (s *Server) revokeToken(c *call) answer {
	_, t, refusal := find(c, 0, "Token", s.tokens)
	switch {
	case t == nil:
		return refusal
	case t.revoked:
		return refuse(http.StatusNotFound, "Token not found")
	}
	t.revoked = true
	return success(http.StatusNoContent, nil)
}

func (t *token) view() map[string]any {
	return map[string]any{
		"id": t.id, "name": t.name, "prefix": t.secret[:len("afm_")], "last4": lastFour(t.secret),
		"created_at": stamp(t.created), "revoked_at": nil,
	}
}

func (s *Server) listCredentials(*call) answer {
	view := make(map[string]any)
	for _, service := range services {
		c := s.credentials[service]
		part := map[string]any{"set": c.secret != "", "last4": nil, "updated_at": nil}
		if c.secret != "" {
			part["last4"], part["updated_at"] = lastFour(c.secret), stamp(c.updated)
		}
		view[service] = part
	}
	return success(http.StatusOK, encode(view))
}

func (s *Server) setCredential(c *call) answer {
	if !slices.Contains(services, c.id) {
		return refuse(http.StatusNotFound, "Not Found")
	}
	f := c.form()
	secret := f.word("token")
	if f.bad() {
		return f.refusal()
	}
	s.credentials[c.id] = credential{secret: secret, updated: time.Now()}
	return success(http.StatusNoContent, nil)
}

func (s *Server) clearCredential(c *call) answer {
	if !slices.Contains(services, c.id) {
		return refuse(http.StatusNotFound, "Not Found")
	}
	delete(s.credentials, c.id)
	return success(http.StatusNoContent, nil)
}
