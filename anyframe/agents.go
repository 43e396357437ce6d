package anyframe

import (
	"context"
	"encoding/json"
)

// AgentsService manages agents; see [Client].Agents.
type AgentsService struct {
	Skills     *SkillsService
	MCPs       *MCPsService
	Connectors *AgentConnectorsService

	client *Client
}

// List returns all agents.
func (s *AgentsService) List(ctx context.Context, opts ...CallOption) ([]Agent, error) {
	return fetchList[Agent](ctx, s.client, get("/api/agents"), opts)
}

// Create creates an agent. It has no image until it is built; see
// [AgentsService.BuildAndWait].
func (s *AgentsService) Create(ctx context.Context, p CreateAgentParams, opts ...CallOption) (*Agent, error) {
	r := post("/api/agents").require("name", p.Name != "").hide(p.EnvVars.values()...)
	p.Permissions, r = revealedMap(r, "permissions", p.Permissions)
	return fetch[Agent](ctx, s.client, r.json(p.body()), opts)
}

// Get returns the agent with its skills, MCP servers, connector toggles and image.
func (s *AgentsService) Get(ctx context.Context, id int64, opts ...CallOption) (*AgentDetail, error) {
	return fetch[AgentDetail](ctx, s.client, get("/api/agents/{agent_id}", id), opts)
}

// Update changes only the fields that p sets.
func (s *AgentsService) Update(
	ctx context.Context, id int64, p UpdateAgentParams, opts ...CallOption,
) (*AgentDetail, error) {
	r := patch("/api/agents/{agent_id}", id).hide(p.EnvVars.values()...)
	p.Permissions, r = revealedMap(r, "permissions", p.Permissions)
	return fetch[AgentDetail](ctx, s.client, r.json(p.body()), opts)
}

// Delete deletes the agent with its skills, MCP servers, builds and sessions.
func (s *AgentsService) Delete(ctx context.Context, id int64, opts ...CallOption) error {
	return s.client.send(ctx, remove("/api/agents/{agent_id}", id), opts)
}

// Runtime is the program that runs an agent. Like [SessionStatus], it is an open
// type.
type Runtime string

// The known runtimes.
const (
	RuntimeClaude Runtime = "claude"
	RuntimeCodex  Runtime = "codex"
)

// Known reports whether r is one of the constants.
func (r Runtime) Known() bool { return r == RuntimeClaude || r == RuntimeCodex }

// PermissionPreset says what an agent may do without asking. It is the member
// "preset" of its permissions. Like [SessionStatus], it is an open type.
type PermissionPreset string

// The known members of an agent's permissions, for the maps of [CreateAgentParams]
// and [UpdateAgentParams].
const (
	PermissionPresetMember     = "preset"              // a PermissionPreset
	PermissionExtraToolsMember = "extra_allowed_tools" // a []string
)

// The known presets.
const (
	PermissionsReadOnly  PermissionPreset = "read_only"
	PermissionsStandard  PermissionPreset = "standard"
	PermissionsFullTrust PermissionPreset = "full_trust"
)

// Known reports whether p is one of the constants.
func (p PermissionPreset) Known() bool {
	return p == PermissionsReadOnly || p == PermissionsStandard || p == PermissionsFullTrust
}

// Agent is the configuration that sessions are booted from.
type Agent struct {
	ID            int64           `json:"id"`
	Name          string          `json:"name"`
	Description   string          `json:"description"`
	SystemPrompt  string          `json:"system_prompt"`
	Runtime       Runtime         `json:"runtime"`  // RuntimeClaude if the response has none
	RepoURL       string          `json:"repo_url"` // owner/name on GitHub; "" for an agent without a repository
	RepoRef       string          `json:"repo_ref"` // branch, tag or commit
	InstallCmd    string          `json:"install_cmd"`
	ServeCmd      string          `json:"serve_cmd"`
	PreviewPorts  []int           `json:"preview_ports"`
	BuildKey      string          `json:"build_key"`       // identifies the image of this configuration
	Permissions   json.RawMessage `json:"permissions"`     // an object; nil if there is none
	EnvVars       EnvVars         `json:"env_vars"`        // values masked by the server
	WarmupImageID string          `json:"warmup_image_id"` // "" unless a setup session was saved as base
	CreatedAt     Time            `json:"created_at"`
	UpdatedAt     Time            `json:"updated_at"`
}

// AgentDetail is an agent with everything that belongs to it.
type AgentDetail struct {
	Agent
	Skills     []AgentSkill           `json:"skills"`
	MCPs       []AgentMCP             `json:"mcps"`
	Connectors []AgentConnectorToggle `json:"connectors"`
	Image      *AgentImage            `json:"image"` // nil if none was built
}

// AgentImage is the image that sessions of an agent boot.
type AgentImage struct {
	BuildKey     string `json:"build_key"`
	ModalImageID string `json:"modal_image_id"`
	BuiltAt      Time   `json:"built_at"`
}

// CreateAgentParams are the settings of a new agent. The server chooses a value for
// each nil field; new("") and empty lists and maps are sent.
type CreateAgentParams struct {
	Name         string         `json:"name"` // required
	Description  *string        `json:"description,omitzero"`
	SystemPrompt *string        `json:"system_prompt,omitzero"` // precedes the runtime's own prompt
	Runtime      Runtime        `json:"runtime,omitzero"`       // "" means RuntimeClaude
	RepoURL      *string        `json:"repo_url,omitzero"`      // owner/name on GitHub; nil for none
	RepoRef      *string        `json:"repo_ref,omitzero"`      // branch, tag or commit; nil means main
	InstallCmd   *string        `json:"install_cmd,omitzero"`   // runs while the image is built
	ServeCmd     *string        `json:"serve_cmd,omitzero"`
	PreviewPorts []int          `json:"preview_ports,omitzero"` // that previews may use
	Permissions  map[string]any `json:"permissions,omitzero"`   // such as PermissionPresetMember: PermissionsStandard
	EnvVars      EnvVars        `json:"env_vars,omitzero"`      // for every session
}

// body returns the request body, with the values that p itself hides.
func (p CreateAgentParams) body() any {
	type plain CreateAgentParams
	return struct {
		plain
		EnvVars map[string]string `json:"env_vars,omitzero"`
	}{plain(p), p.EnvVars}
}

// UpdateAgentParams are the changes to an agent. A nil field is not changed;
// new("") and empty lists and maps are sent.
type UpdateAgentParams struct {
	Name         *string        `json:"name,omitzero"`
	Description  *string        `json:"description,omitzero"`
	SystemPrompt *string        `json:"system_prompt,omitzero"`
	Runtime      Runtime        `json:"runtime,omitzero"` // "" is not changed
	RepoURL      *string        `json:"repo_url,omitzero"`
	RepoRef      *string        `json:"repo_ref,omitzero"`
	InstallCmd   *string        `json:"install_cmd,omitzero"`
	ServeCmd     *string        `json:"serve_cmd,omitzero"`
	PreviewPorts []int          `json:"preview_ports,omitzero"`
	Permissions  map[string]any `json:"permissions,omitzero"`
	EnvVars      EnvVars        `json:"env_vars,omitzero"`
}

// body is like that of CreateAgentParams.
func (p UpdateAgentParams) body() any {
	type plain UpdateAgentParams
	return struct {
		plain
		EnvVars map[string]string `json:"env_vars,omitzero"`
	}{plain(p), p.EnvVars}
}
