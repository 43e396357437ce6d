package anyframetest

import (
	"net/http"
	"slices"
)

// A catalogEntry is an MCP server in AnyFrame's catalog. The hosts are under the
// reserved domain example, where no server can exist.
type catalogEntry struct {
	slug, displayName, category, description string
	mcpURL, transport, setupKind             string
	publisher, trustLevel, docsURL           string
	tags                                     []string
	hasLogo, comingSoon                      bool
}

// catalog has an entry for every kind of setup and every level of trust, and one
// that cannot be installed yet.
var catalog = []catalogEntry{
	{
		slug: "linear", displayName: "Linear", category: "productivity", description: "Issues and projects.",
		mcpURL: "https://mcp.linear.example/mcp", transport: "http", setupKind: authDCR, publisher: "Linear",
		trustLevel: "official", docsURL: "https://linear.example/docs/mcp", tags: []string{"issues", "planning"}, hasLogo: true,
	},
	{
		slug: "github", displayName: "GitHub", category: "development", description: "Repositories and pull requests.",
		mcpURL: "https://mcp.github.example/mcp", transport: "http", setupKind: authPreregistered, publisher: "GitHub",
		trustLevel: "official", docsURL: "https://github.example/docs/mcp", tags: []string{"code"}, hasLogo: true,
	},
	{
		slug: "sentry", displayName: "Sentry", category: "monitoring", description: "Errors and where they come from.",
		mcpURL: "https://mcp.sentry.example/sse", transport: "sse", setupKind: authBearer, publisher: "Sentry",
		trustLevel: "verified", docsURL: "https://sentry.example/docs/mcp", tags: []string{"errors"},
	},
	{
		slug: "custom", displayName: "Your own", category: "custom", description: "Any MCP server, by its URL.",
		transport: "http", setupKind: "custom_mcp", publisher: "AnyFrame", trustLevel: "community",
		docsURL: "https://anyframe.example/docs/connectors", tags: []string{},
	},
	{
		slug: "google-drive", displayName: "Google Drive", category: "files", description: "Documents and sheets.",
		mcpURL: "https://mcp.drive.example/mcp", transport: "http", setupKind: authPreregistered, publisher: "Google",
		trustLevel: "official", docsURL: "https://drive.example/docs/mcp", tags: []string{"files"}, comingSoon: true,
	},
}

func (s *Server) listCatalog(*call) answer {
	return answerList(catalog, func(e catalogEntry) any {
		view := map[string]any{
			"slug": e.slug, "display_name": e.displayName, "category": e.category, "description": e.description,
			"mcp_url": e.mcpURL, "transport": e.transport, "setup_kind": e.setupKind, "publisher": e.publisher,
			"trust_level": e.trustLevel, "docs_url": e.docsURL, "tags": e.tags, "has_logo": e.hasLogo,
			"coming_soon": e.comingSoon, "installed": false, "connector_id": nil, "is_authorized": nil,
		}
		if i := slices.IndexFunc(s.connectors, func(c *connector) bool { return c.slug == e.slug }); i >= 0 {
			view["installed"], view["connector_id"], view["is_authorized"] = true, s.connectors[i].id, s.connectors[i].authorized
		}
		return view
	})
}

// entry finds an entry that can be installed in one of the given ways.
func (s *Server) entry(c *call, setups ...string) (conn *connector, refusal answer) {
	i := slices.IndexFunc(catalog, func(e catalogEntry) bool { return e.slug == c.id })
	if i < 0 {
		return nil, refuse(http.StatusNotFound, "Catalog entry not found")
	}
	e := catalog[i]
	switch {
	case e.comingSoon:
		return nil, refuse(http.StatusBadRequest, e.displayName+" is coming soon")
	case !slices.Contains(setups, e.setupKind):
		return nil, refuse(http.StatusBadRequest, e.displayName+" is not installed this way")
	}
	return &connector{
		displayName: e.displayName, mcpURL: e.mcpURL, slug: e.slug, transport: e.transport,
		authKind: e.setupKind, defaultEnabled: true,
	}, answer{}
}

func (s *Server) installOAuth(c *call) answer {
	conn, refusal := s.entry(c, authDCR, authPreregistered)
	if conn == nil {
		return refusal
	}
	return s.install(conn)
}

func (s *Server) installBearer(c *call) answer {
	conn, refusal := s.entry(c, authBearer)
	if conn == nil {
		return refusal
	}
	f := c.form()
	conn.secret, conn.authorized = f.word("token"), true
	if f.bad() {
		return f.refusal()
	}
	return s.install(conn)
}
