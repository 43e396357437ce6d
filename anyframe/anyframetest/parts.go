package anyframetest

import (
	"encoding/json"
	"net/http"
	"slices"
	"time"
)

// A skill is a skill of an agent.
type skill struct {
	id      int64
	name    string
	source  string
	content json.RawMessage
	enabled bool
	created time.Time
}

// An mcp is an MCP server of a single agent.
type mcp struct {
	id        int64
	name      string
	transport string
	config    json.RawMessage
	secretRef *string
	enabled   bool
	created   time.Time
}

func (k *skill) number() int64 { return k.id }
func (m *mcp) number() int64   { return m.id }

func (k *skill) view() any {
	return map[string]any{
		"id": k.id, "name": k.name, "source": k.source, "content": k.content,
		"enabled": k.enabled, "created_at": stamp(k.created),
	}
}

func (m *mcp) view() any {
	return map[string]any{
		"id": m.id, "name": m.name, "transport": m.transport, "config": m.config,
		"secret_ref": m.secretRef, "enabled": m.enabled, "created_at": stamp(m.created),
	}
}

func (s *Server) listSkills(a *agent, _ *call) answer {
	return answerList(a.skills, (*skill).view)
}

func (s *Server) createSkill(a *agent, c *call) answer {
	f := c.form()
	f.require("source", "content")
	k := &skill{
		name: f.word("name"), source: f.choice("source", "inline", "git"), content: f.object("content"),
		enabled: f.flag("enabled", true), created: time.Now(),
	}
	if f.bad() {
		return f.refusal()
	}
	k.id = s.newNumber()
	a.skills = append(a.skills, k)
	return success(http.StatusCreated, encode(k.view()))
}

func (s *Server) updateSkill(a *agent, c *call) answer {
	_, k, refusal := find(c, 1, "Skill", a.skills)
	if k == nil {
		return refusal
	}
	f := c.form()
	next := *k
	if f.has("name") {
		next.name = f.word("name")
	}
	if content := f.object("content"); content != nil {
		next.content = content
	}
	next.enabled = f.flag("enabled", k.enabled)
	if f.bad() {
		return f.refusal()
	}
	*k = next
	return success(http.StatusOK, encode(k.view()))
}

func (s *Server) deleteSkill(a *agent, c *call) answer {
	i, k, refusal := find(c, 1, "Skill", a.skills)
	if k == nil {
		return refusal
	}
	a.skills = slices.Delete(a.skills, i, i+1)
	return success(http.StatusNoContent, nil)
}

func (s *Server) listMCPs(a *agent, _ *call) answer {
	return answerList(a.mcps, (*mcp).view)
}

func (s *Server) createMCP(a *agent, c *call) answer {
	f := c.form()
	f.require("transport", "config")
	m := &mcp{
		name: f.word("name"), transport: f.choice("transport", "http", "sse", "stdio"), config: f.object("config"),
		secretRef: f.text("secret_ref"), enabled: f.flag("enabled", true), created: time.Now(),
	}
	if f.bad() {
		return f.refusal()
	}
	m.id = s.newNumber()
	a.mcps = append(a.mcps, m)
	return success(http.StatusCreated, encode(m.view()))
}

func (s *Server) updateMCP(a *agent, c *call) answer {
	_, m, refusal := find(c, 1, "MCP", a.mcps)
	if m == nil {
		return refusal
	}
	f := c.form()
	next := *m
	if f.has("name") {
		next.name = f.word("name")
	}
	if config := f.object("config"); config != nil {
		next.config = config
	}
	if ref := f.text("secret_ref"); ref != nil {
		next.secretRef = ref
	}
	next.enabled = f.flag("enabled", m.enabled)
	if f.bad() {
		return f.refusal()
	}
	*m = next
	return success(http.StatusOK, encode(m.view()))
}

func (s *Server) deleteMCP(a *agent, c *call) answer {
	i, m, refusal := find(c, 1, "MCP", a.mcps)
	if m == nil {
		return refusal
	}
	a.mcps = slices.Delete(a.mcps, i, i+1)
	return success(http.StatusNoContent, nil)
}

// listToggles has one entry for each connector; an entry that was never set has the
// connector's default.
func (s *Server) listToggles(a *agent, _ *call) answer {
	return answerList(s.connectors, func(conn *connector) any { return a.toggleView(conn) })
}

func (s *Server) setToggle(a *agent, c *call) answer {
	conn, refusal := s.lookUpConnector(c, 1)
	if conn == nil {
		return refusal
	}
	f := c.form()
	f.require("enabled")
	enabled := f.flag("enabled", false)
	if f.bad() {
		return f.refusal()
	}
	a.toggles[conn.id] = enabled
	return success(http.StatusOK, encode(a.toggleView(conn)))
}

func (a *agent) toggleView(conn *connector) any {
	enabled, set := a.toggles[conn.id]
	if !set {
		enabled = conn.defaultEnabled
	}
	return map[string]any{
		"connector_id": conn.id, "display_name": conn.displayName, "mcp_url": conn.mcpURL,
		"auth_kind": conn.authKind, "enabled": enabled, "is_authorized": conn.authorized,
	}
}
