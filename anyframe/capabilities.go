package anyframe

import (
	"context"
	"encoding/json"
)

// SkillsService manages the skills of an agent; see [AgentsService].Skills.
type SkillsService struct{ client *Client }

// List returns the agent's skills.
func (s *SkillsService) List(ctx context.Context, agentID int64, opts ...CallOption) ([]AgentSkill, error) {
	return fetchList[AgentSkill](ctx, s.client, get("/api/agents/{agent_id}/skills", agentID), opts)
}

// Create adds a skill to the agent.
func (s *SkillsService) Create(
	ctx context.Context, agentID int64, p CreateSkillParams, opts ...CallOption,
) (*AgentSkill, error) {
	r := post("/api/agents/{agent_id}/skills", agentID).
		require("name", p.Name != "").require("source", p.Source != "").require("content", p.Content != nil)
	p.Content, r = revealedMap(r, "content", p.Content)
	return fetch[AgentSkill](ctx, s.client, r.json(p), opts)
}

// Update changes only the fields that p sets. The source of a skill cannot change.
func (s *SkillsService) Update(
	ctx context.Context, agentID, skillID int64, p UpdateSkillParams, opts ...CallOption,
) (*AgentSkill, error) {
	r := patch("/api/agents/{agent_id}/skills/{skill_id}", agentID, skillID)
	p.Content, r = revealedMap(r, "content", p.Content)
	return fetch[AgentSkill](ctx, s.client, r.json(p), opts)
}

// Delete removes the skill from the agent.
func (s *SkillsService) Delete(ctx context.Context, agentID, skillID int64, opts ...CallOption) error {
	return s.client.send(ctx, remove("/api/agents/{agent_id}/skills/{skill_id}", agentID, skillID), opts)
}

// SkillSource is the source of a skill's content. Like [SessionStatus], it is an
// open type.
type SkillSource string

// The known sources.
const (
	SkillInline SkillSource = "inline"
	SkillGit    SkillSource = "git"
)

// Known reports whether s is one of the constants.
func (s SkillSource) Known() bool { return s == SkillInline || s == SkillGit }

// AgentSkill is a skill of an agent.
type AgentSkill struct {
	ID        int64           `json:"id"`
	Name      string          `json:"name"`
	Source    SkillSource     `json:"source"`
	Content   json.RawMessage `json:"content"` // an object
	Enabled   bool            `json:"enabled"`
	CreatedAt Time            `json:"created_at"`
}

// CreateSkillParams are the settings of a new skill.
type CreateSkillParams struct {
	Name    string         // required
	Source  SkillSource    // required
	Content map[string]any // required, may be empty; such as "markdown": "…" for SkillInline; a Secret in it is sent as its value
	Enabled *bool          // nil means true
}

// MarshalJSON writes the members that the API requires in every request.
func (p CreateSkillParams) MarshalJSON() ([]byte, error) {
	return json.Marshal(struct {
		Name    string         `json:"name"`
		Source  SkillSource    `json:"source"`
		Content map[string]any `json:"content"`
		Enabled bool           `json:"enabled"`
	}{p.Name, p.Source, p.Content, isTrue(p.Enabled)})
}

// UpdateSkillParams are the changes to a skill. A nil field is not changed.
type UpdateSkillParams struct {
	Name    *string        `json:"name,omitzero"`
	Content map[string]any `json:"content,omitzero"`
	Enabled *bool          `json:"enabled,omitzero"`
}

// MCPsService manages the MCP servers of a single agent; see [AgentsService].MCPs.
// MCP servers for all agents are in [Client].Connectors.
type MCPsService struct{ client *Client }

// List returns the agent's MCP servers.
func (s *MCPsService) List(ctx context.Context, agentID int64, opts ...CallOption) ([]AgentMCP, error) {
	return fetchList[AgentMCP](ctx, s.client, get("/api/agents/{agent_id}/mcps", agentID), opts)
}

// Create adds an MCP server to the agent.
func (s *MCPsService) Create(
	ctx context.Context, agentID int64, p CreateMCPParams, opts ...CallOption,
) (*AgentMCP, error) {
	r := post("/api/agents/{agent_id}/mcps", agentID).
		require("name", p.Name != "").require("transport", p.Transport != "").require("config", p.Config != nil)
	p.Config, r = revealedMap(r, "config", p.Config)
	return fetch[AgentMCP](ctx, s.client, r.json(p), opts)
}

// Update changes only the fields that p sets. The transport of an MCP server cannot
// change.
func (s *MCPsService) Update(
	ctx context.Context, agentID, mcpID int64, p UpdateMCPParams, opts ...CallOption,
) (*AgentMCP, error) {
	r := patch("/api/agents/{agent_id}/mcps/{mcp_id}", agentID, mcpID)
	p.Config, r = revealedMap(r, "config", p.Config)
	return fetch[AgentMCP](ctx, s.client, r.json(p), opts)
}

// Delete removes the MCP server from the agent.
func (s *MCPsService) Delete(ctx context.Context, agentID, mcpID int64, opts ...CallOption) error {
	return s.client.send(ctx, remove("/api/agents/{agent_id}/mcps/{mcp_id}", agentID, mcpID), opts)
}

// MCPTransport is the transport of an MCP server. Like [SessionStatus], it is an
// open type.
type MCPTransport string

// The known transports.
const (
	TransportHTTP  MCPTransport = "http"
	TransportSSE   MCPTransport = "sse"
	TransportStdio MCPTransport = "stdio" // a program in the sandbox
)

// Known reports whether t is one of the constants.
func (t MCPTransport) Known() bool {
	return t == TransportHTTP || t == TransportSSE || t == TransportStdio
}

// AgentMCP is an MCP server of a single agent.
type AgentMCP struct {
	ID        int64           `json:"id"`
	Name      string          `json:"name"`
	Transport MCPTransport    `json:"transport"`
	Config    json.RawMessage `json:"config"` // an object
	SecretRef string          `json:"secret_ref"`
	Enabled   bool            `json:"enabled"`
	CreatedAt Time            `json:"created_at"`
}

// CreateMCPParams are the settings of a new MCP server.
type CreateMCPParams struct {
	Name      string         // required
	Transport MCPTransport   // required
	Config    map[string]any // required, may be empty; such as "command" and "args" for TransportStdio; a Secret in it is sent as its value
	SecretRef *string
	Enabled   *bool // nil means true
}

// MarshalJSON writes the members that the API requires in every request.
func (p CreateMCPParams) MarshalJSON() ([]byte, error) {
	return json.Marshal(struct {
		Name      string         `json:"name"`
		Transport MCPTransport   `json:"transport"`
		Config    map[string]any `json:"config"`
		SecretRef *string        `json:"secret_ref,omitzero"`
		Enabled   bool           `json:"enabled"`
	}{p.Name, p.Transport, p.Config, p.SecretRef, isTrue(p.Enabled)})
}

// UpdateMCPParams are the changes to an MCP server. A nil field is not changed.
type UpdateMCPParams struct {
	Name      *string        `json:"name,omitzero"`
	Config    map[string]any `json:"config,omitzero"`
	SecretRef *string        `json:"secret_ref,omitzero"`
	Enabled   *bool          `json:"enabled,omitzero"`
}

// AgentConnectorsService enables and disables connectors for one agent; see
// [AgentsService].Connectors.
type AgentConnectorsService struct{ client *Client }

// List returns all connectors, and whether the agent uses each.
func (s *AgentConnectorsService) List(
	ctx context.Context, agentID int64, opts ...CallOption,
) ([]AgentConnectorToggle, error) {
	return fetchList[AgentConnectorToggle](ctx, s.client, get("/api/agents/{agent_id}/connectors", agentID), opts)
}

// Set enables or disables a connector for the agent.
func (s *AgentConnectorsService) Set(
	ctx context.Context, agentID, connectorID int64, enabled bool, opts ...CallOption,
) (*AgentConnectorToggle, error) {
	r := put("/api/agents/{agent_id}/connectors/{connector_id}", agentID, connectorID).json(struct {
		Enabled bool `json:"enabled"`
	}{enabled})
	return fetch[AgentConnectorToggle](ctx, s.client, r, opts)
}

// AgentConnectorToggle is a connector and whether the agent uses it.
type AgentConnectorToggle struct {
	ConnectorID  int64             `json:"connector_id"`
	DisplayName  string            `json:"display_name"`
	MCPURL       string            `json:"mcp_url"`
	AuthKind     ConnectorAuthKind `json:"auth_kind"`
	Enabled      bool              `json:"enabled"`
	IsAuthorized bool              `json:"is_authorized"`
}

// isTrue decodes an optional flag whose default is true.
func isTrue(flag *bool) bool { return flag == nil || *flag }
