package anyframetest

import (
	"crypto/rand"
	"net/http"
	"net/url"
	"slices"
	"time"
)

// Ways to authorize a connector.
const (
	authDCR           = "oauth_dcr"
	authPreregistered = "oauth_preregistered"
	authBearer        = "bearer_token"
)

// A connector is an MCP server registered by the user.
type connector struct {
	id             int64
	displayName    string
	mcpURL         string
	slug           string // in the catalog; "" if it is not from there
	transport      string
	authKind       string
	defaultEnabled bool
	authorized     bool
	secret         string // for bearer
	scopes         string
	expires        time.Time // of OAuth access; zero if there is none
	refreshed      time.Time // the last attempt; zero if there is none
	refreshError   string
	created        time.Time
	updated        time.Time
}

func (c *connector) number() int64 { return c.id }

// hostOf returns the host of an http or https URL, otherwise "".
func hostOf(address string) string {
	u, err := url.Parse(address)
	if err != nil || u.Scheme != "https" && u.Scheme != "http" {
		return ""
	}
	return u.Host
}

func (s *Server) lookUpConnector(c *call, n int) (*connector, answer) {
	_, conn, refusal := find(c, n, "Connector", s.connectors)
	return conn, refusal
}

func (s *Server) listConnectors(*call) answer {
	return answerList(s.connectors, func(c *connector) any { return c.view() })
}

// discover describes the servers of the catalog; any other server counts as one
// with dynamic client registration.
func (s *Server) discover(c *call) answer {
	f := c.form()
	address := f.address("mcp_url")
	if f.bad() {
		return f.refusal()
	}
	found := map[string]any{
		"mcp_url": address, "supports_dcr": true, "suggested_display_name": hostOf(address),
		"authorization_endpoint": "https://auth." + hostOf(address) + "/authorize",
		"token_endpoint":         "https://auth." + hostOf(address) + "/token",
		"scopes_supported":       []string{"read", "write"},
	}
	if i := slices.IndexFunc(catalog, func(e catalogEntry) bool { return e.mcpURL == address }); i >= 0 {
		found["suggested_display_name"] = catalog[i].displayName
		found["supports_dcr"] = catalog[i].setupKind == authDCR
		if catalog[i].setupKind == authBearer {
			found["authorization_endpoint"], found["token_endpoint"] = nil, nil
			found["scopes_supported"] = []string{}
		}
	}
	return success(http.StatusOK, encode(found))
}

func (s *Server) createOAuth(c *call) answer {
	f := c.form()
	conn := &connector{
		mcpURL: f.address("mcp_url"), displayName: f.word("display_name"),
		defaultEnabled: f.flag("default_enabled", true), transport: "http", authKind: authDCR,
	}
	if f.bad() {
		return f.refusal()
	}
	return s.install(conn)
}

func (s *Server) createBearer(c *call) answer {
	f := c.form()
	conn := &connector{
		mcpURL: f.address("mcp_url"), displayName: f.word("display_name"), secret: f.word("token"),
		defaultEnabled: f.flag("default_enabled", true), transport: "http", authKind: authBearer, authorized: true,
	}
	if f.bad() {
		return f.refusal()
	}
	return s.install(conn)
}

// install adds a connector, unless there is one for the same MCP server. The
// response is the connector, or the URL to authorize it.
func (s *Server) install(conn *connector) answer {
	if slices.ContainsFunc(s.connectors, func(other *connector) bool { return other.mcpURL == conn.mcpURL }) {
		return refuse(http.StatusConflict, "A connector for this MCP server exists")
	}
	conn.id = s.newNumber()
	conn.created = time.Now()
	conn.updated = conn.created
	s.connectors = append(s.connectors, conn)
	s.notify()
	if conn.authKind == authBearer {
		return success(http.StatusCreated, encode(conn.view()))
	}
	return success(http.StatusCreated, s.authorizeView(conn))
}

// reauthorize changes nothing until the authorization is finished.
func (s *Server) reauthorize(conn *connector, _ *call) answer {
	if conn.authKind == authBearer {
		return refuse(http.StatusBadRequest, "The connector does not use OAuth")
	}
	return success(http.StatusOK, s.authorizeView(conn))
}

// authorizeView starts an authorization.
func (s *Server) authorizeView(conn *connector) []byte {
	state := s.secret(rand.Text())
	s.states[state] = conn.id
	query := url.Values{"response_type": {"code"}, "client_id": {"anyframe"}, "state": {state}}
	return encode(map[string]any{
		"connector_id":  conn.id,
		"authorize_url": s.secret("https://auth." + hostOf(conn.mcpURL) + "/authorize?" + query.Encode()),
		"state":         state,
	})
}

func (s *Server) deleteConnector(conn *connector, _ *call) answer {
	s.connectors = slices.DeleteFunc(s.connectors, func(other *connector) bool { return other == conn })
	s.notify()
	return success(http.StatusNoContent, nil)
}

// FinishOAuth simulates a user who completes the authorization at an authorize_url:
// the connector that the state was issued for becomes authorized. A state works
// once. FinishOAuth reports whether there was an authorization to finish.
func (s *Server) FinishOAuth(state string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	id, found := s.states[state]
	delete(s.states, state)
	i := slices.IndexFunc(s.connectors, func(c *connector) bool { return c.id == id })
	if !found || i < 0 {
		return false
	}
	conn, now := s.connectors[i], time.Now()
	conn.authorized, conn.refreshError = true, ""
	conn.scopes, conn.expires, conn.updated = "read write", now.Add(time.Hour), now
	s.notify()
	return true
}

// ExpireConnector ends the authorization of a connector, with the reason why it
// could not be renewed, for example because the user has revoked it. It reports
// whether there is such a connector.
func (s *Server) ExpireConnector(id int64, reason string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	i := slices.IndexFunc(s.connectors, func(c *connector) bool { return c.id == id })
	if i < 0 {
		return false
	}
	conn, now := s.connectors[i], time.Now()
	conn.authorized, conn.refreshError = false, reason
	conn.expires, conn.refreshed, conn.updated = now, now, now
	s.notify()
	return true
}

func (c *connector) view() map[string]any {
	view := map[string]any{
		"id": c.id, "display_name": c.displayName, "mcp_url": c.mcpURL, "catalog_slug": textOrNull(c.slug),
		"default_enabled": c.defaultEnabled, "transport": c.transport, "auth_kind": c.authKind, "secret_last4": nil,
		"expires_at": stampOrNull(c.expires), "scopes": textOrNull(c.scopes), "is_authorized": c.authorized,
		"last_refresh_attempt_at": stampOrNull(c.refreshed), "last_refresh_error": textOrNull(c.refreshError),
		"created_at": stamp(c.created), "updated_at": stamp(c.updated),
	}
	if c.secret != "" {
		view["secret_last4"] = lastFour(c.secret)
	}
	return view
}
