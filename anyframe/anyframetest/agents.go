package anyframetest

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"time"
)

// An agent is the configuration of sessions. The server's mutex guards all but the
// first two fields.
type agent struct {
	id     int64
	script Script

	agentConfig
	warmupImage string // "" until a setup session is saved as base
	created     time.Time
	updated     time.Time
	skills      []*skill
	mcps        []*mcp
	toggles     map[int64]bool // by connector; only those that were set
	builds      []*build       // oldest first
}

// agentConfig is the part that create and update set.
type agentConfig struct {
	name                      string
	description, systemPrompt *string
	runtime                   string
	repoURL, repoRef          *string
	installCmd, serveCmd      *string
	previewPorts              []int
	permissions               json.RawMessage
	envVars                   map[string]string
}

func (a *agent) number() int64 { return a.id }

// An image is the result of a build.
type image struct {
	id    string
	built time.Time
}

// seedAgents adds the agents of the options, built unless an option says otherwise.
func (s *Server) seedAgents() {
	now := time.Now()
	for _, seed := range s.agentSeeds {
		s.lastNumber = max(s.lastNumber, seed.id)
	}
	for _, seed := range s.agentSeeds {
		a := &agent{id: seed.id, script: seed.script, created: now, updated: now, toggles: make(map[int64]bool)}
		if a.script == nil {
			a.script = s.defaultScript
		}
		a.agentConfig = agentConfig{name: "Scripted agent", runtime: "claude", permissions: json.RawMessage("{}")}
		s.agents = append(s.agents, a)
		if !s.noImage {
			b := s.newBuild(a)
			for _, line := range s.linesOf(a) {
				b.line(line)
			}
			s.finishBuild(b, buildSucceeded, "")
		}
	}
}

// newNumber returns an integer id. Ids are unique across all kinds of objects, so
// that an id in the wrong place is detected.
func (s *Server) newNumber() int64 {
	s.lastNumber++
	return s.lastNumber
}

func (s *Server) lookUpAgent(c *call) (*agent, answer) {
	_, a, refusal := find(c, 0, "Agent", s.agents)
	return a, refusal
}

func (s *Server) listAgents(*call) answer {
	return answerList(s.agents, func(a *agent) any { return s.agentView(a) })
}

func (s *Server) getAgent(a *agent, _ *call) answer {
	return success(http.StatusOK, encode(s.agentDetail(a)))
}

func (s *Server) createAgent(c *call) answer {
	f := c.form()
	config := agentConfig{runtime: "claude", repoRef: new("main"), permissions: json.RawMessage("{}")}
	f.require("name")
	config.read(f)
	if f.bad() {
		return f.refusal()
	}
	now := time.Now()
	a := &agent{
		id: s.newNumber(), script: s.defaultScript, agentConfig: config,
		created: now, updated: now, toggles: make(map[int64]bool),
	}
	s.agents = append(s.agents, a)
	s.notify()
	return success(http.StatusCreated, encode(s.agentView(a)))
}

func (s *Server) updateAgent(a *agent, c *call) answer {
	f := c.form()
	config := a.agentConfig
	config.read(f)
	if f.bad() {
		return f.refusal()
	}
	a.agentConfig, a.updated = config, time.Now()
	return success(http.StatusOK, encode(s.agentDetail(a)))
}

// deleteAgent also ends the agent's builds and sessions, live or not.
func (s *Server) deleteAgent(a *agent, _ *call) answer {
	for _, b := range a.builds {
		s.dropBuild(b)
	}
	for _, sess := range slices.Clone(s.order) {
		if sess.agent == a {
			s.remove(sess)
		}
	}
	s.agents = slices.DeleteFunc(s.agents, func(other *agent) bool { return other == a })
	s.notify()
	return success(http.StatusNoContent, nil)
}

var (
	repoPattern = regexp.MustCompile(`^[\w.-]+/[\w.-]+$`)
	envPattern  = regexp.MustCompile(`^[A-Z_][A-Z0-9_]*$`)
)

// read copies the fields that are in the form.
func (a *agentConfig) read(f *form) {
	if f.has("name") {
		a.name = f.word("name")
	}
	for _, field := range []struct {
		name string
		to   **string
	}{
		{"description", &a.description},
		{"system_prompt", &a.systemPrompt},
		{"repo_url", &a.repoURL},
		{"repo_ref", &a.repoRef},
		{"install_cmd", &a.installCmd},
		{"serve_cmd", &a.serveCmd},
	} {
		if v := f.text(field.name); v != nil {
			*field.to = v
		}
	}
	if a.repoURL != nil && *a.repoURL != "" && !repoPattern.MatchString(*a.repoURL) {
		f.complain("String should be owner/name", "string_pattern_mismatch", "repo_url")
	}
	if runtime := f.choice("runtime", "claude", "codex"); runtime != "" {
		a.runtime = runtime
	}
	var ports []int
	if f.read("preview_ports", "list of integers", "list_type", &ports) {
		for i, port := range ports {
			f.checkPort(port, "preview_ports", i)
		}
		a.previewPorts = ports
	}
	if permissions := f.object("permissions"); permissions != nil {
		a.permissions = permissions
	}
	var env map[string]string
	if f.read("env_vars", "dictionary of strings", "dict_type", &env) {
		for _, key := range slices.Sorted(maps.Keys(env)) {
			if !envPattern.MatchString(key) {
				f.complain("String should match pattern '"+envPattern.String()+"'", "string_pattern_mismatch", "env_vars", key)
			}
		}
		a.envVars = env
	}
}

// cacheKey identifies the result of a build of the agent's current configuration.
// Agents with the same repository, ref and install command share an image; an agent
// without a repository shares with no other.
func (a *agent) cacheKey() string {
	value := func(s *string) string {
		if s == nil {
			return ""
		}
		return *s
	}
	source := value(a.repoURL)
	if source == "" {
		source = strconv.FormatInt(a.id, 10)
	}
	sum := sha256.Sum256(encode([]string{source, value(a.repoRef), value(a.installCmd)}))
	return fmt.Sprintf("bk-%x", sum[:8])
}

// buildKey returns the agent's cache key if there is an image or a build of it,
// otherwise nil.
func (s *Server) buildKey(a *agent) *string {
	key := a.cacheKey()
	_, built := s.images[key]
	if !built && !slices.ContainsFunc(a.builds, func(b *build) bool { return b.key == key }) {
		return nil
	}
	return &key
}

func (s *Server) agentView(a *agent) map[string]any {
	masked := make(map[string]string)
	for name := range a.envVars {
		masked[name] = "****"
	}
	return map[string]any{
		"id": a.id, "name": a.name, "description": a.description, "system_prompt": a.systemPrompt,
		"runtime": a.runtime, "repo_url": a.repoURL, "repo_ref": a.repoRef, "install_cmd": a.installCmd,
		"serve_cmd": a.serveCmd, "preview_ports": append([]int{}, a.previewPorts...), "build_key": s.buildKey(a),
		"permissions": a.permissions, "env_vars": masked, "warmup_image_id": textOrNull(a.warmupImage),
		"created_at": stamp(a.created), "updated_at": stamp(a.updated),
	}
}

func (s *Server) agentDetail(a *agent) map[string]any {
	view := s.agentView(a)
	views := func(n int, at func(int) any) []any {
		list := make([]any, 0, n)
		for i := range n {
			list = append(list, at(i))
		}
		return list
	}
	view["skills"] = views(len(a.skills), func(i int) any { return a.skills[i].view() })
	view["mcps"] = views(len(a.mcps), func(i int) any { return a.mcps[i].view() })
	view["connectors"] = views(len(s.connectors), func(i int) any { return a.toggleView(s.connectors[i]) })
	view["image"] = nil
	if img, built := s.images[a.cacheKey()]; built {
		view["image"] = map[string]any{"build_key": a.cacheKey(), "modal_image_id": img.id, "built_at": stamp(img.built)}
	}
	return view
}

// textOrNull returns v, or nil if v is empty.
func textOrNull(v string) *string {
	if v == "" {
		return nil
	}
	return &v
}
