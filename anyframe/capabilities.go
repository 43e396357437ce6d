package anyframe

import (
	"context"
	"encoding/json"
)

// SkillsService is the skills of an agent; see [AgentsService].Skills.
type SkillsService struct{ client *Client }

// List returns the agent's skills.
func (s *SkillsService) List(ctx context.Context, agentID int64, opts ...CallOption) ([]AgentSkill, error) {
	return fetchList[AgentSkill](ctx, s.client, get("/api/agents/{agent_id}/skills", agentID), opts)
}

// Create gives the agent a skill.
func (s *SkillsService) Create(
	ctx context.Context, agentID int64, p CreateSkillParams, opts ...CallOption,
) (*AgentSkill, error) {
	r := post("/api/agents/{agent_id}/skills", agentID).
		require("name", p.Name != "").require("source", p.Source != "").require("content", p.Content != nil)
	p.Content, r = revealedMap(r, "content", p.Content)
	return fetch[AgentSkill](ctx, s.client, r.json(p), opts)
}

// Update changes the fields that p sets and no others. The source of a skill
// cannot change.
func (s *SkillsService) Update(
	ctx context.Context, agentID, skillID int64, p UpdateSkillParams, opts ...CallOption,
) (*AgentSkill, error) {
	r := patch("/api/agents/{agent_id}/skills/{skill_id}", agentID, skillID)
	p.Content, r = revealedMap(r, "content", p.Content)
	return fetch[AgentSkill](ctx, s.client, r.json(p), opts)
}

// Delete takes the skill from the agent.
func (s *SkillsService) Delete(ctx context.Context, agentID, skillID int64, opts ...CallOption) error {
	return s.client.send(ctx, remove("/api/agents/{agent_id}/skills/{skill_id}", agentID, skillID), opts)
}

// SkillSource is where a skill's content is; open, like [SessionStatus].
type SkillSource string

// The sources known.
const (
	SkillInline SkillSource = "inline"
	SkillGit    SkillSource = "git"
)

// Known reports whether s is one of the constants.
func (s SkillSource) Known() bool { return s == SkillInline || s == SkillGit }

// AgentSkill is something an agent knows how to do.
type AgentSkill struct {
	ID        int64           `json:"id"`
	Name      string          `json:"name"`
	Source    SkillSource     `json:"source"`
	Content   json.RawMessage `json:"content"` // an object
	Enabled   bool            `json:"enabled"`
	CreatedAt Time            `json:"created_at"`
}

// CreateSkillParams are what a new skill is made from.
type CreateSkillParams struct {
	Name    string         // required
	Source  SkillSource    // required
	Content map[string]any // required, may be empty; such as "markdown": "…" for SkillInline; a Secret in it is sent in the clear
	Enabled *bool          // nil means true
}

// MarshalJSON writes what the API expects to find in every request.
func (p CreateSkillParams) MarshalJSON() ([]byte, error) {
	return json.Marshal(struct {
		Name    string         `json:"name"`
		Source  SkillSource    `json:"source"`
		Content map[string]any `json:"content"`
		Enabled bool           `json:"enabled"`
	}{p.Name, p.Source, p.Content, isTrue(p.Enabled)})
}

// UpdateSkillParams are what to change of a skill. What is nil stays as it is.
type UpdateSkillParams struct {
	Name    *string        `json:"name,omitzero"`
	Content map[string]any `json:"content,omitzero"`
	Enabled *bool          `json:"enabled,omitzero"`
}

// MCPsService is the MCP servers of one agent alone; see [AgentsService].MCPs.
// Those for all agents are [Client].Connectors.
type MCPsService struct{ client *Client }

// List returns the agent's MCP servers.
func (s *MCPsService) List(ctx context.Context, agentID int64, opts ...CallOption) ([]AgentMCP, error) {
	return fetchList[AgentMCP](ctx, s.client, get("/api/agents/{agent_id}/mcps", agentID), opts)
}

// Create gives the agent an MCP server.
func (s *MCPsService) Create(
	ctx context.Context, agentID int64, p CreateMCPParams, opts ...CallOption,
) (*AgentMCP, error) {
	r := post("/api/agents/{agent_id}/mcps", agentID).
		require("name", p.Name != "").require("transport", p.Transport != "").require("config", p.Config != nil)
	p.Config, r = revealedMap(r, "config", p.Config)
	return fetch[AgentMCP](ctx, s.client, r.json(p), opts)
}

// Update changes the fields that p sets and no others. The transport of an MCP
// server cannot change.
func (s *MCPsService) Update(
	ctx context.Context, agentID, mcpID int64, p UpdateMCPParams, opts ...CallOption,
) (*AgentMCP, error) {
	r := patch("/api/agents/{agent_id}/mcps/{mcp_id}", agentID, mcpID)
	p.Config, r = revealedMap(r, "config", p.Config)
	return fetch[AgentMCP](ctx, s.client, r.json(p), opts)
}

// Delete takes the MCP server from the agent.
func (s *MCPsService) Delete(ctx context.Context, agentID, mcpID int64, opts ...CallOption) error {
	return s.client.send(ctx, remove("/api/agents/{agent_id}/mcps/{mcp_id}", agentID, mcpID), opts)
}

// MCPTransport is how an MCP server is reached; open, like [SessionStatus].
type MCPTransport string

// The transports known.
const (
	TransportHTTP  MCPTransport = "http"
	TransportSSE   MCPTransport = "sse"
	TransportStdio MCPTransport = "stdio" // a program in the sandbox
)

// Known reports whether t is one of the constants.
func (t MCPTransport) Known() bool {
	return t == TransportHTTP || t == TransportSSE || t == TransportStdio
}

// AgentMCP is an MCP server that one agent uses.
type AgentMCP struct {
	ID        int64           `json:"id"`
	Name      string          `json:"name"`
	Transport MCPTransport    `json:"transport"`
	Config    json.RawMessage `json:"config"` // an object
	SecretRef string          `json:"secret_ref"`
	Enabled   bool            `json:"enabled"`
	CreatedAt Time            `json:"created_at"`
}

// CreateMCPParams are what a new MCP server is made from.
type CreateMCPParams struct {
	Name      string         // required
	Transport MCPTransport   // required
	Config    map[string]any // required, may be empty; such as "command" and "args" for TransportStdio; a Secret in it is sent in the clear
	SecretRef *string
	Enabled   *bool // nil means true
}

// MarshalJSON writes what the API expects to find in every request.
func (p CreateMCPParams) MarshalJSON() ([]byte, error) {
	return json.Marshal(struct {
		Name      string         `json:"name"`
		Transport MCPTransport   `json:"transport"`
		Config    map[string]any `json:"config"`
		SecretRef *string        `json:"secret_ref,omitzero"`
		Enabled   bool           `json:"enabled"`
	}{p.Name, p.Transport, p.Config, p.SecretRef, isTrue(p.Enabled)})
}

// UpdateMCPParams are what to change of an MCP server. What is nil stays as it
// is.
type UpdateMCPParams struct {
	Name      *string        `json:"name,omitzero"`
	Config    map[string]any `json:"config,omitzero"`
	SecretRef *string        `json:"secret_ref,omitzero"`
	Enabled   *bool          `json:"enabled,omitzero"`
}

// AgentConnectorsService switches connectors on and off for one agent; see
// [AgentsService].Connectors.
type AgentConnectorsService struct{ client *Client }

// List returns every connector there is and whether the agent uses it.
func (s *AgentConnectorsService) List(
	ctx context.Context, agentID int64, opts ...CallOption,
) ([]AgentConnectorToggle, error) {
	return fetchList[AgentConnectorToggle](ctx, s.client, get("/api/agents/{agent_id}/connectors", agentID), opts)
}

// Set switches a connector on or off for the agent.
func (s *AgentConnectorsService) Set(
	ctx context.Context, agentID, connectorID int64, enabled bool, opts ...CallOption,
) (*AgentConnectorToggle, error) {
	r := put("/api/agents/{agent_id}/connectors/{connector_id}", agentID, connectorID).json(struct {
		Enabled bool `json:"enabled"`
	}{enabled})
	return fetch[AgentConnectorToggle](ctx, s.client, r, opts)
}

// AgentConnectorToggle is a connector as one agent sees it.
type AgentConnectorToggle struct {
	ConnectorID  int64             `json:"connector_id"`
	DisplayName  string            `json:"display_name"`
	MCPURL       string            `json:"mcp_url"`
	AuthKind     ConnectorAuthKind `json:"auth_kind"`
	Enabled      bool              `json:"enabled"`
	IsAuthorized bool              `json:"is_authorized"`
}

// isTrue reads an optional flag whose default is true.
func isTrue(flag *bool) bool { return flag == nil || *flag }
