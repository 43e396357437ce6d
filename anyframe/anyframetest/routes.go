package anyframetest

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// An Op names one operation of the API.
type Op string

// OpAny matches all operations.
const OpAny Op = ""

// The operations of sessions. The six actions of previews are one operation.
const (
	OpList       Op = "list"
	OpCreate     Op = "create"
	OpGet        Op = "get"
	OpDelete     Op = "delete"
	OpResume     Op = "resume"
	OpTerminate  Op = "terminate"
	OpSnapshots  Op = "snapshots"
	OpSaveAsBase Op = "save_as_base"
	OpMessage    Op = "message"
	OpRespond    Op = "respond"
	OpTranscript Op = "transcript"
	OpEvents     Op = "events"
	OpPreviews   Op = "previews"
	OpAttention  Op = "attention"
)

// The operations of agents and their parts.
const (
	OpAgents      Op = "agents"
	OpAgent       Op = "agent"
	OpAgentCreate Op = "agent_create"
	OpAgentUpdate Op = "agent_update"
	OpAgentDelete Op = "agent_delete"

	OpBuild       Op = "build"
	OpBuildStatus Op = "build_status"
	OpBuilds      Op = "builds"
	OpBuildLogURL Op = "build_log_url"
	OpBuildLog    Op = "build_log" // the target of the log URL
	OpBuildStream Op = "build_stream"

	OpSkills      Op = "skills"
	OpSkillCreate Op = "skill_create"
	OpSkillUpdate Op = "skill_update"
	OpSkillDelete Op = "skill_delete"
	OpMCPs        Op = "mcps"
	OpMCPCreate   Op = "mcp_create"
	OpMCPUpdate   Op = "mcp_update"
	OpMCPDelete   Op = "mcp_delete"
	OpToggles     Op = "toggles"
	OpToggleSet   Op = "toggle_set"
)

// The operations of the account and its connectors. One operation sets the three
// credentials, and another clears them.
const (
	OpMe              Op = "me"
	OpTokens          Op = "tokens"
	OpTokenCreate     Op = "token_create"
	OpTokenRevoke     Op = "token_revoke"
	OpCredentials     Op = "credentials"
	OpCredentialSet   Op = "credential_set"   //nolint:gosec // the name of an operation
	OpCredentialClear Op = "credential_clear" //nolint:gosec // the name of an operation

	OpConnectors      Op = "connectors"
	OpCatalog         Op = "catalog"
	OpDiscover        Op = "discover"
	OpConnectorOAuth  Op = "connector_oauth"
	OpConnectorBearer Op = "connector_bearer"
	OpCatalogOAuth    Op = "catalog_oauth"
	OpCatalogBearer   Op = "catalog_bearer"
	OpReauthorize     Op = "reauthorize"
	OpConnectorDelete Op = "connector_delete"
)

// opUnknown is an operation that the API does not have.
const opUnknown Op = "unknown"

// A route is one operation: its method, its path with * for an id, and its handler,
// which runs while the server's mutex is held. The two streams are handled
// elsewhere.
type route struct {
	method, path string
	op           Op
	act          func(*Server, *call) answer
}

var routes = []route{
	{"GET", "api/me", OpMe, (*Server).me},
	{"GET", "api/tokens", OpTokens, (*Server).listTokens},
	{"POST", "api/tokens", OpTokenCreate, (*Server).createToken},
	{"DELETE", "api/tokens/*", OpTokenRevoke, (*Server).revokeToken},
	{"GET", "api/credentials", OpCredentials, (*Server).listCredentials},
	{"PUT", "api/credentials/*", OpCredentialSet, (*Server).setCredential},
	{"DELETE", "api/credentials/*", OpCredentialClear, (*Server).clearCredential},

	{"GET", "api/connectors", OpConnectors, (*Server).listConnectors},
	{"GET", "api/connectors/catalog", OpCatalog, (*Server).listCatalog},
	{"POST", "api/connectors/discover", OpDiscover, (*Server).discover},
	{"POST", "api/connectors/oauth", OpConnectorOAuth, (*Server).createOAuth},
	{"POST", "api/connectors/bearer", OpConnectorBearer, (*Server).createBearer},
	{"POST", "api/connectors/catalog/*/oauth", OpCatalogOAuth, (*Server).installOAuth},
	{"POST", "api/connectors/catalog/*/bearer", OpCatalogBearer, (*Server).installBearer},
	{"POST", "api/connectors/*/reauthorize", OpReauthorize, onConnector((*Server).reauthorize)},
	{"DELETE", "api/connectors/*", OpConnectorDelete, onConnector((*Server).deleteConnector)},

	{"GET", "api/agents", OpAgents, (*Server).listAgents},
	{"POST", "api/agents", OpAgentCreate, (*Server).createAgent},
	{"GET", "api/agents/*", OpAgent, onAgent((*Server).getAgent)},
	{"PATCH", "api/agents/*", OpAgentUpdate, onAgent((*Server).updateAgent)},
	{"DELETE", "api/agents/*", OpAgentDelete, onAgent((*Server).deleteAgent)},
	{"POST", "api/agents/*/build", OpBuild, onAgent((*Server).startBuild)},
	{"GET", "api/agents/*/build/status", OpBuildStatus, onAgent((*Server).buildStatus)},
	{"GET", "api/agents/*/builds", OpBuilds, onAgent((*Server).listBuilds)},
	{"GET", "api/agents/*/builds/*/log_url", OpBuildLogURL, onAgent((*Server).buildLogURL)},
	{"GET", "api/agents/*/builds/*/stream", OpBuildStream, nil},
	{"GET", "build-logs/*", OpBuildLog, (*Server).buildLog},

	{"GET", "api/agents/*/skills", OpSkills, onAgent((*Server).listSkills)},
	{"POST", "api/agents/*/skills", OpSkillCreate, onAgent((*Server).createSkill)},
	{"PATCH", "api/agents/*/skills/*", OpSkillUpdate, onAgent((*Server).updateSkill)},
	{"DELETE", "api/agents/*/skills/*", OpSkillDelete, onAgent((*Server).deleteSkill)},
	{"GET", "api/agents/*/mcps", OpMCPs, onAgent((*Server).listMCPs)},
	{"POST", "api/agents/*/mcps", OpMCPCreate, onAgent((*Server).createMCP)},
	{"PATCH", "api/agents/*/mcps/*", OpMCPUpdate, onAgent((*Server).updateMCP)},
	{"DELETE", "api/agents/*/mcps/*", OpMCPDelete, onAgent((*Server).deleteMCP)},
	{"GET", "api/agents/*/connectors", OpToggles, onAgent((*Server).listToggles)},
	{"PUT", "api/agents/*/connectors/*", OpToggleSet, onAgent((*Server).setToggle)},

	{"GET", "api/sessions", OpList, (*Server).list},
	{"POST", "api/sessions", OpCreate, (*Server).create},
	{"GET", "api/sessions/*", OpGet, onSession((*Server).get)},
	{"DELETE", "api/sessions/*", OpDelete, onSession((*Server).delete)},
	{"POST", "api/sessions/*/resume", OpResume, onSession((*Server).resume)},
	{"POST", "api/sessions/*/terminate", OpTerminate, onSession((*Server).terminate)},
	{"GET", "api/sessions/*/snapshots", OpSnapshots, onSession((*Server).listSnapshots)},
	{"POST", "api/sessions/*/save-as-base", OpSaveAsBase, onSession((*Server).saveAsBase)},
	{"POST", "api/sessions/*/message", OpMessage, onSession((*Server).messageAnswer)},
	{"POST", "api/sessions/*/respond", OpRespond, onSession((*Server).respondAnswer)},
	{"GET", "api/sessions/*/transcript", OpTranscript, onSession((*Server).transcript)},
	{"GET", "api/sessions/*/events", OpEvents, nil},
	{"POST", "api/sessions/*/previews", OpPreviews, onSession((*Server).previewAction)},

	{"GET", "api/attention", OpAttention, (*Server).attention},
}

// A call is one request while the server handles it.
type call struct {
	Request
	host  string
	ids   []string // the parts of the path where the route has *
	id    string   // the first of them, or ""
	act   func(*Server, *call) answer
	allow []string // the methods of the path, if this one is not among them
}

// newCall finds the operation and the ids of a request.
func newCall(r *http.Request) call {
	c := call{
		Request: Request{Op: opUnknown, Proto: r.Proto, Method: r.Method, Path: r.URL.Path, Query: r.URL.Query(), Header: r.Header.Clone()},
		host:    r.Host,
	}
	segments := strings.Split(strings.TrimPrefix(r.URL.EscapedPath(), "/"), "/")
	for i := range routes {
		ids, fits := routes[i].match(segments)
		if !fits {
			continue
		}
		if routes[i].method != r.Method {
			c.allow = append(c.allow, routes[i].method)
			continue
		}
		c.Op, c.act, c.ids, c.allow = routes[i].op, routes[i].act, ids, nil
		if len(ids) > 0 {
			c.id = ids[0]
		}
		break // no request matches two
	}
	return c
}

// match returns the parts of the path for each * of the route's path.
func (r *route) match(segments []string) (ids []string, fits bool) {
	parts := strings.Split(r.path, "/")
	if len(parts) != len(segments) {
		return nil, false
	}
	for i, part := range parts {
		if part != "*" {
			if part != segments[i] {
				return nil, false
			}
			continue
		}
		id, err := url.PathUnescape(segments[i])
		if err != nil || id == "" {
			return nil, false
		}
		ids = append(ids, id)
	}
	return ids, true
}

// perform carries out the request.
func (s *Server) perform(c *call) answer {
	switch {
	case c.act != nil:
		s.mu.Lock()
		defer s.mu.Unlock()
		return c.act(s, c)
	case len(c.allow) > 0:
		slices.Sort(c.allow)
		a := refuse(http.StatusMethodNotAllowed, "Method Not Allowed")
		a.header = http.Header{"Allow": {strings.Join(slices.Compact(c.allow), ", ")}}
		return a
	default:
		return refuse(http.StatusNotFound, "Not Found")
	}
}

// onSession finds the session named in the path.
func onSession(act func(*Server, *session, *call) answer) func(*Server, *call) answer {
	return func(s *Server, c *call) answer {
		sess, refusal := s.lookUp(c.id)
		if sess == nil {
			return refusal
		}
		return act(s, sess, c)
	}
}

// onAgent finds the agent named in the path.
func onAgent(act func(*Server, *agent, *call) answer) func(*Server, *call) answer {
	return func(s *Server, c *call) answer {
		a, refusal := s.lookUpAgent(c)
		if a == nil {
			return refusal
		}
		return act(s, a, c)
	}
}

// onConnector finds the connector named in the path.
func onConnector(act func(*Server, *connector, *call) answer) func(*Server, *call) answer {
	return func(s *Server, c *call) answer {
		conn, refusal := s.lookUpConnector(c, 0)
		if conn == nil {
			return refusal
		}
		return act(s, conn, c)
	}
}
