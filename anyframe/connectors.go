package anyframe

import (
	"context"
	"encoding/json"
)

// ConnectorsService manages the MCP servers that all agents may use; see
// [Client].Connectors. [AgentConnectorsService.Set] enables a connector for an
// agent.
type ConnectorsService struct{ client *Client }

// List returns all connectors.
func (s *ConnectorsService) List(ctx context.Context, opts ...CallOption) ([]Connector, error) {
	return fetchList[Connector](ctx, s.client, get("/api/connectors"), opts)
}

// ListCatalog returns the connectors that can be installed by their slug. An
// entry's SetupKind says how; see [CatalogSetupKind].
func (s *ConnectorsService) ListCatalog(ctx context.Context, opts ...CallOption) ([]ConnectorCatalogItem, error) {
	return fetchList[ConnectorCatalogItem](ctx, s.client, get("/api/connectors/catalog"), opts)
}

// Discover asks an MCP server for the ways to connect to it.
func (s *ConnectorsService) Discover(
	ctx context.Context, mcpURL string, opts ...CallOption,
) (*ConnectorDiscovery, error) {
	r := post("/api/connectors/discover").require("mcp_url", mcpURL != "").json(struct {
		MCPURL string `json:"mcp_url"`
	}{mcpURL})
	return fetch[ConnectorDiscovery](ctx, s.client, r, opts)
}

// CreateOAuth creates a connector that a person authorizes at the AuthorizeURL in
// the response. The error matches [ErrConflict] if the server already has a
// connector.
func (s *ConnectorsService) CreateOAuth(
	ctx context.Context, p CreateOAuthConnectorParams, opts ...CallOption,
) (*ConnectorAuthorize, error) {
	r := post("/api/connectors/oauth").
		require("mcp_url", p.MCPURL != "").require("display_name", p.DisplayName != "").json(p)
	return fetch[ConnectorAuthorize](ctx, s.client, r, opts)
}

// CreateBearer creates a connector that is authorized with a token.
func (s *ConnectorsService) CreateBearer(
	ctx context.Context, p CreateBearerConnectorParams, opts ...CallOption,
) (*Connector, error) {
	r := post("/api/connectors/bearer").
		require("mcp_url", p.MCPURL != "").require("display_name", p.DisplayName != "").require("token", p.Token.Reveal() != "").
		json(p.body()).hide(p.Token.Reveal())
	return fetch[Connector](ctx, s.client, r, opts)
}

// InstallCatalogOAuth installs a catalog entry that a person authorizes at the
// AuthorizeURL in the response.
func (s *ConnectorsService) InstallCatalogOAuth(
	ctx context.Context, slug string, opts ...CallOption,
) (*ConnectorAuthorize, error) {
	return fetch[ConnectorAuthorize](ctx, s.client, post("/api/connectors/catalog/{slug}/oauth", slug), opts)
}

// InstallCatalogBearer installs a catalog entry that is authorized with a token.
func (s *ConnectorsService) InstallCatalogBearer(
	ctx context.Context, slug string, token Secret, opts ...CallOption,
) (*Connector, error) {
	r := post("/api/connectors/catalog/{slug}/bearer", slug).
		token(token)
	return fetch[Connector](ctx, s.client, r, opts)
}

// Reauthorize starts the authorization of a connector again. Agents can still use
// it meanwhile.
func (s *ConnectorsService) Reauthorize(
	ctx context.Context, id int64, opts ...CallOption,
) (*ConnectorAuthorize, error) {
	return fetch[ConnectorAuthorize](ctx, s.client, post("/api/connectors/{connector_id}/reauthorize", id), opts)
}

// Delete deletes the connector.
func (s *ConnectorsService) Delete(ctx context.Context, id int64, opts ...CallOption) error {
	return s.client.send(ctx, remove("/api/connectors/{connector_id}", id), opts)
}

// ConnectorAuthKind is the way a connector is authorized. Like [SessionStatus], it
// is an open type.
type ConnectorAuthKind string

// The known kinds.
const (
	AuthOAuthDCR           ConnectorAuthKind = "oauth_dcr" // the client registers itself
	AuthOAuthPreregistered ConnectorAuthKind = "oauth_preregistered"
	AuthBearerToken        ConnectorAuthKind = "bearer_token"
)

// Known reports whether k is one of the constants.
func (k ConnectorAuthKind) Known() bool {
	return k == AuthOAuthDCR || k == AuthOAuthPreregistered || k == AuthBearerToken
}

// CatalogSetupKind is the way a catalog entry is installed. Like [SessionStatus],
// it is an open type.
type CatalogSetupKind string

// The known kinds. The first two are for [ConnectorsService.InstallCatalogOAuth],
// the third for [ConnectorsService.InstallCatalogBearer]; an entry of the last kind
// cannot be installed from the catalog.
const (
	SetupOAuthDCR           CatalogSetupKind = "oauth_dcr"
	SetupOAuthPreregistered CatalogSetupKind = "oauth_preregistered"
	SetupBearerToken        CatalogSetupKind = "bearer_token"
	SetupCustomMCP          CatalogSetupKind = "custom_mcp"
)

// Known reports whether k is one of the constants.
func (k CatalogSetupKind) Known() bool {
	return k == SetupOAuthDCR || k == SetupOAuthPreregistered || k == SetupBearerToken || k == SetupCustomMCP
}

// CatalogTrustLevel says who vouches for a catalog entry. Like [SessionStatus], it
// is an open type.
type CatalogTrustLevel string

// The known levels.
const (
	TrustOfficial  CatalogTrustLevel = "official"
	TrustVerified  CatalogTrustLevel = "verified"
	TrustCommunity CatalogTrustLevel = "community"
)

// Known reports whether l is one of the constants.
func (l CatalogTrustLevel) Known() bool {
	return l == TrustOfficial || l == TrustVerified || l == TrustCommunity
}

// Connector is an MCP server that all agents may use.
type Connector struct {
	ID                   int64             `json:"id"`
	DisplayName          string            `json:"display_name"`
	MCPURL               string            `json:"mcp_url"`
	CatalogSlug          string            `json:"catalog_slug"`    // "" if it is not from the catalog
	DefaultEnabled       bool              `json:"default_enabled"` // for new agents; true if the response has no value
	Transport            MCPTransport      `json:"transport"`
	AuthKind             ConnectorAuthKind `json:"auth_kind"`
	SecretLast4          string            `json:"secret_last4"`
	ExpiresAt            Time              `json:"expires_at"`
	Scopes               string            `json:"scopes"`
	IsAuthorized         bool              `json:"is_authorized"`
	LastRefreshAttemptAt Time              `json:"last_refresh_attempt_at"`
	LastRefreshError     string            `json:"last_refresh_error"`
	CreatedAt            Time              `json:"created_at"`
	UpdatedAt            Time              `json:"updated_at"`
}

// ConnectorDiscovery is an MCP server's description of itself.
type ConnectorDiscovery struct {
	MCPURL                string   `json:"mcp_url"`
	SupportsDCR           bool     `json:"supports_dcr"` // supports dynamic client registration
	SuggestedDisplayName  string   `json:"suggested_display_name"`
	AuthorizationEndpoint string   `json:"authorization_endpoint"`
	TokenEndpoint         string   `json:"token_endpoint"`
	ScopesSupported       []string `json:"scopes_supported"`
}

// ConnectorAuthorize is an authorization that waits for a person.
type ConnectorAuthorize struct {
	ConnectorID  int64  `json:"connector_id"`
	AuthorizeURL string `json:"authorize_url"` // the page where the person authorizes
	State        string `json:"state"`
}

// ConnectorCatalogItem is a connector that can be installed by its slug.
type ConnectorCatalogItem struct {
	Slug         string            `json:"slug"`
	DisplayName  string            `json:"display_name"`
	Category     string            `json:"category"`
	Description  string            `json:"description"`
	MCPURL       string            `json:"mcp_url"`
	Transport    MCPTransport      `json:"transport"`
	SetupKind    CatalogSetupKind  `json:"setup_kind"`
	Publisher    string            `json:"publisher"`
	TrustLevel   CatalogTrustLevel `json:"trust_level"`
	DocsURL      string            `json:"docs_url"`
	Tags         []string          `json:"tags"`
	HasLogo      bool              `json:"has_logo"`
	ComingSoon   bool              `json:"coming_soon"` // cannot be installed yet
	Installed    bool              `json:"installed"`
	ConnectorID  *int64            `json:"connector_id"`  // nil if not installed
	IsAuthorized *bool             `json:"is_authorized"` // nil if not installed
}

// CreateOAuthConnectorParams are the settings of a connector that a person
// authorizes.
type CreateOAuthConnectorParams struct {
	MCPURL         string // required
	DisplayName    string // required
	DefaultEnabled *bool  // nil means true
}

// MarshalJSON writes the members that the API requires in every request.
func (p CreateOAuthConnectorParams) MarshalJSON() ([]byte, error) {
	return json.Marshal(struct {
		MCPURL         string `json:"mcp_url"`
		DisplayName    string `json:"display_name"`
		DefaultEnabled bool   `json:"default_enabled"`
	}{p.MCPURL, p.DisplayName, isTrue(p.DefaultEnabled)})
}

// CreateBearerConnectorParams are the settings of a connector that is authorized
// with a token.
type CreateBearerConnectorParams struct {
	MCPURL         string // required
	DisplayName    string // required
	Token          Secret // required
	DefaultEnabled *bool  // nil means true
}

// body returns the request body, with the token that p itself hides.
func (p CreateBearerConnectorParams) body() any {
	return struct {
		MCPURL         string `json:"mcp_url"`
		DisplayName    string `json:"display_name"`
		Token          string `json:"token"`
		DefaultEnabled bool   `json:"default_enabled"`
	}{p.MCPURL, p.DisplayName, p.Token.Reveal(), isTrue(p.DefaultEnabled)}
}
