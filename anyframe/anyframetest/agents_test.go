package anyframetest_test

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/anyframe-relay/relay/anyframe/anyframetest"
)

const agentFields = "id name description system_prompt runtime repo_url repo_ref install_cmd serve_cmd preview_ports " +
	"build_key permissions env_vars warmup_image_id created_at updated_at"

// createAgent creates an agent and returns its id.
func createAgent(t *testing.T, cp *anyframetest.Server, fields map[string]any) any {
	t.Helper()
	if fields["name"] == nil {
		fields["name"] = "demo"
	}
	return call(t, cp, "POST", "/api/agents", fields, 201)["id"]
}

func TestAgent_FromOptions_Listed(t *testing.T) {
	cp := anyframetest.Start(t, anyframetest.WithAgent(9, nil), anyframetest.WithAgent(3, nil))
	agents := list(t, cp, "/api/agents")
	if len(agents) != 2 || agents[0]["id"] != 9.0 || agents[1]["id"] != 3.0 || cp.AgentID() != 9 {
		t.Errorf("got agents %v, want 9 and 3", agents)
	}
	wantFields(t, agents[0], agentFields)
	if got := createAgent(t, cp, map[string]any{}); got.(float64) <= 9 {
		t.Errorf("got id %v, want one that is not taken", got)
	}
}

func TestAgent_CreateReadUpdateDelete(t *testing.T) {
	cp := anyframetest.Start(t)
	plain := call(t, cp, "POST", "/api/agents", map[string]any{"name": "plain", "description": nil}, 201)
	wantFields(t, plain, agentFields)
	want(t, plain, map[string]any{
		"name": "plain", "description": nil, "system_prompt": nil, "runtime": "claude", "repo_url": nil, "repo_ref": "main",
		"install_cmd": nil, "serve_cmd": nil, "preview_ports": []int{}, "build_key": nil, "permissions": map[string]any{},
		"env_vars": map[string]any{}, "warmup_image_id": nil,
	})

	full := map[string]any{
		"name": "full", "description": "Sorts bugs.", "system_prompt": "Be brief.", "runtime": "codex", "repo_url": "tinyhq/box",
		"repo_ref": "v1", "install_cmd": "bun install", "serve_cmd": "bun dev", "preview_ports": []int{3000, 4000},
		"permissions": map[string]any{"preset": "standard", "extra_allowed_tools": []string{"Bash"}},
	}
	full["env_vars"] = map[string]string{"TOKEN": "hush", "_A1": ""}
	made := call(t, cp, "POST", "/api/agents", full, 201)
	full["env_vars"] = map[string]string{"TOKEN": "****", "_A1": "****"}
	want(t, made, full)
	id := made["id"]

	detail := call(t, cp, "GET", path("agents", id), nil, 200)
	wantFields(t, detail, agentFields+" skills mcps connectors image")
	want(t, detail, full)
	want(t, detail, map[string]any{"skills": []any{}, "mcps": []any{}, "connectors": []any{}, "image": nil})

	changed := call(t, cp, "PATCH", path("agents", id), map[string]any{
		"name": "new", "description": "", "env_vars": map[string]string{"B": "2"}, "preview_ports": []int{}, "repo_ref": "v2", "install_cmd": nil,
	}, 200)
	wantFields(t, changed, agentFields+" skills mcps connectors image")
	want(t, changed, map[string]any{
		"name": "new", "description": "", "env_vars": map[string]string{"B": "****"}, "preview_ports": []int{}, "repo_ref": "v2",
		"install_cmd": "bun install", "system_prompt": "Be brief.", "runtime": "codex",
	})
	same := call(t, cp, "PATCH", path("agents", id), map[string]any{}, 200)
	same["updated_at"] = changed["updated_at"]
	want(t, same, changed)

	call(t, cp, "DELETE", path("agents", id), nil, 204)
	call(t, cp, "GET", path("agents", id), nil, 404)
	if got := list(t, cp, "/api/agents"); len(got) != 2 || got[1]["id"] != plain["id"] {
		t.Errorf("got agents %v, want the first and the plain one", got)
	}
}

func TestAgent_Invalid_AllIssuesListed(t *testing.T) {
	cp := anyframetest.Start(t)
	id := cp.AgentID()
	wantRefused(t, cp, []refused{
		{"nothing", "POST", "/api/agents", map[string]any{}, 422, "body name"},
		{"no object", "POST", "/api/agents", "[]", 422, "body"},
		{"no JSON", "POST", "/api/agents", "{", 422, "body"},
		{"an empty name", "POST", "/api/agents", map[string]any{"name": ""}, 422, "body name"},
		{"much", "POST", "/api/agents", map[string]any{
			"description": 1, "repo_url": "https://example.com/a/b", "runtime": "vim", "preview_ports": []int{80, 0, 70000},
			"permissions": []int{}, "env_vars": map[string]string{"lower": "x", "1A": "x", "OK": "x"},
		}, 422, "body name; body description; body repo_url; body runtime; body preview_ports 1; body preview_ports 2; " +
			"body permissions; body env_vars 1A; body env_vars lower"},
		{"ports that are words", "POST", "/api/agents", map[string]any{"name": "x", "preview_ports": []string{"http"}}, 422, "body preview_ports"},
		{"values that are numbers", "POST", "/api/agents", map[string]any{"name": "x", "env_vars": map[string]int{"A": 1}}, 422, "body env_vars"},
		{"an empty new name", "PATCH", path("agents", id), map[string]any{"name": "", "runtime": "vim"}, 422, "body name; body runtime"},
		{"change what isn't there", "PATCH", "/api/agents/99999", map[string]any{}, 404, ""},
		{"delete what isn't there", "DELETE", "/api/agents/99999", nil, 404, ""},
		{"delete by name", "DELETE", "/api/agents/bob", nil, 422, "path agent_id"},
	})
	want(t, call(t, cp, "GET", path("agents", id), nil, 200), map[string]any{"name": "Scripted agent", "runtime": "claude"})
	if got := list(t, cp, "/api/agents"); len(got) != 1 {
		t.Errorf("got %d agents, want 1", len(got))
	}
}

func TestAgent_FromAPI_UsesDefaultScript(t *testing.T) {
	for name, c := range map[string]struct {
		opts []anyframetest.Option
		want string
	}{
		"by default": {nil, "You said: hello"},
		"by option":  {[]anyframetest.Option{anyframetest.WithScript(func(c *anyframetest.Chat) { c.Say("Good day.") })}, "Good day."},
	} {
		t.Run(name, func(t *testing.T) {
			cp := anyframetest.Start(t, c.opts...)
			made := call(t, cp, "POST", "/api/sessions", map[string]any{"agent_id": createAgent(t, cp, map[string]any{})}, 202)
			id, _ := made["id"].(string)
			say(t, cp, id, "hello")
			payloads := logged(cp, id)
			if got := text(t, payloads[len(payloads)-2]); got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}

func TestAgent_Deleted_PartsDeleted(t *testing.T) {
	cp := anyframetest.Start(t)
	kept := running(t, cp)
	agent := createAgent(t, cp, map[string]any{})
	call(t, cp, "POST", path("agents", agent, "skills"), map[string]any{"name": "s", "source": "git", "content": map[string]any{}}, 201)
	build := call(t, cp, "POST", path("agents", agent, "build"), map[string]any{}, 202)
	signed := call(t, cp, "GET", path("agents", agent, "builds", build["build_id"], "log_url"), nil, 200)
	id, _ := call(t, cp, "POST", "/api/sessions", map[string]any{"agent_id": agent}, 202)["id"].(string)
	l := listen(t, cp, id, "")

	call(t, cp, "DELETE", path("agents", agent), nil, 204)
	l.wantEnd()
	for _, p := range []string{
		path("agents", agent, "skills"), path("agents", agent, "builds"), path("agents", agent, "build", "status"),
		path("sessions", id), signed["url"].(string)[len(cp.URL()):],
	} {
		call(t, cp, "GET", p, nil, 404)
	}
	if infos := cp.Sessions(); len(infos) != 1 || infos[0].ID != kept {
		t.Errorf("got sessions %v, want the other agent's", infos)
	}
	call(t, cp, "POST", "/api/sessions", map[string]any{"agent_id": agent}, 404)
}

func TestSkill_CreateListUpdateDelete(t *testing.T) {
	cp := anyframetest.Start(t)
	at := path("agents", cp.AgentID(), "skills")
	made := call(t, cp, "POST", at, map[string]any{"name": "tour", "source": "inline", "content": map[string]any{"markdown": "# Hi"}}, 201)
	wantFields(t, made, "id name source content enabled created_at")
	want(t, made, map[string]any{"name": "tour", "source": "inline", "content": map[string]any{"markdown": "# Hi"}, "enabled": true})
	off := call(t, cp, "POST", at, map[string]any{"name": "off", "source": "git", "content": map[string]any{}, "enabled": false}, 201)
	want(t, off, map[string]any{"enabled": false})

	one := at + path(made["id"])[len("/api"):]
	changed := call(t, cp, "PATCH", one, map[string]any{"enabled": false, "source": "git"}, 200)
	want(t, changed, map[string]any{"name": "tour", "source": "inline", "content": map[string]any{"markdown": "# Hi"}, "enabled": false})
	changed = call(t, cp, "PATCH", one, map[string]any{"name": "walk", "content": map[string]any{}}, 200)
	want(t, changed, map[string]any{"name": "walk", "content": map[string]any{}, "enabled": false, "id": made["id"]})
	if got := list(t, cp, at); len(got) != 2 || got[0]["name"] != "walk" {
		t.Errorf("got skills %v, want the walk and the other", got)
	}
	if got := call(t, cp, "GET", path("agents", cp.AgentID()), nil, 200)["skills"].([]any); len(got) != 2 {
		t.Errorf("got skills %v in the detail, want 2", got)
	}
	wantRefused(t, cp, []refused{
		{"nothing", "POST", at, map[string]any{}, 422, "body source; body content; body name"},
		{"nothing right", "POST", at, map[string]any{"name": "x", "source": "ftp", "content": "x", "enabled": 1}, 422, "body source; body content; body enabled"},
		{"an empty name", "PATCH", one, map[string]any{"name": "", "content": 1, "enabled": ""}, 422, "body name; body content; body enabled"},
		{"for an unknown agent", "POST", "/api/agents/99999/skills", map[string]any{}, 404, ""},
		{"change an unknown one", "PATCH", at + "/99999", map[string]any{}, 404, ""},
		{"delete an unknown one", "DELETE", at + "/99999", nil, 404, ""},
		{"delete one by name", "DELETE", at + "/walk", nil, 422, "path skill_id"},
	})
	call(t, cp, "DELETE", one, nil, 204)
	call(t, cp, "DELETE", one, nil, 404)
	if got := list(t, cp, at); len(got) != 1 || got[0]["id"] != off["id"] {
		t.Errorf("got skills %v, want the other alone", got)
	}
}

func TestMCP_CreateListUpdateDelete(t *testing.T) {
	cp := anyframetest.Start(t)
	at := path("agents", cp.AgentID(), "mcps")
	made := call(t, cp, "POST", at, map[string]any{"name": "fs", "transport": "stdio", "config": map[string]any{"command": "npx"}}, 201)
	wantFields(t, made, "id name transport config secret_ref enabled created_at")
	want(t, made, map[string]any{"name": "fs", "transport": "stdio", "config": map[string]any{"command": "npx"}, "secret_ref": nil, "enabled": true})
	one := at + path(made["id"])[len("/api"):]
	changed := call(t, cp, "PATCH", one, map[string]any{"secret_ref": "vault/fs", "enabled": false, "transport": "sse"}, 200)
	want(t, changed, map[string]any{"name": "fs", "transport": "stdio", "secret_ref": "vault/fs", "enabled": false})
	changed = call(t, cp, "PATCH", one, map[string]any{"name": "files", "config": map[string]any{}}, 200)
	want(t, changed, map[string]any{"name": "files", "config": map[string]any{}, "secret_ref": "vault/fs", "enabled": false})
	if got := list(t, cp, at); len(got) != 1 || got[0]["name"] != "files" {
		t.Errorf("got MCPs %v, want the one", got)
	}
	want(t, call(t, cp, "GET", path("agents", cp.AgentID()), nil, 200), map[string]any{"mcps": []any{changed}})
	wantRefused(t, cp, []refused{
		{"nothing", "POST", at, map[string]any{}, 422, "body transport; body config; body name"},
		{"nothing right", "POST", at, map[string]any{"name": "x", "transport": "ftp", "config": []int{}, "secret_ref": 1}, 422, "body transport; body config; body secret_ref"},
		{"change to nothing right", "PATCH", one, map[string]any{"name": "", "enabled": "yes"}, 422, "body name; body enabled"},
		{"change an unknown one", "PATCH", at + "/99999", map[string]any{}, 404, ""},
		{"delete one by name", "DELETE", at + "/files", nil, 422, "path mcp_id"},
	})
	call(t, cp, "DELETE", one, nil, 204)
	call(t, cp, "DELETE", one, nil, 404)
	if got := list(t, cp, at); len(got) != 0 {
		t.Errorf("got MCPs %v, want none", got)
	}
}

func TestID_EveryKind_Unique(t *testing.T) {
	cp := anyframetest.Start(t)
	agent := createAgent(t, cp, map[string]any{})
	seen := map[any]bool{float64(cp.AgentID()): true}
	for _, id := range []any{
		agent,
		call(t, cp, "POST", "/api/tokens", map[string]any{"name": "x"}, 201)["id"],
		call(t, cp, "POST", "/api/connectors/catalog/linear/oauth", nil, 201)["connector_id"],
		call(t, cp, "POST", path("agents", agent, "skills"), map[string]any{"name": "s", "source": "git", "content": map[string]any{}}, 201)["id"],
		call(t, cp, "POST", path("agents", agent, "mcps"), map[string]any{"name": "s", "transport": "sse", "config": map[string]any{}}, 201)["id"],
		call(t, cp, "POST", path("agents", agent, "build"), nil, 202)["build_id"],
	} {
		if seen[id] || id == nil {
			t.Errorf("got number %v, want one that is new", id)
		}
		seen[id] = true
	}
}

func TestFault_EveryOperation_Applies(t *testing.T) {
	cp := anyframetest.Start(t, anyframetest.WithAgent(1, nil))
	cases := map[anyframetest.Op]string{
		anyframetest.OpMe: "GET me", anyframetest.OpTokens: "GET tokens", anyframetest.OpTokenCreate: "POST tokens",
		anyframetest.OpTokenRevoke: "DELETE tokens/1", anyframetest.OpCredentials: "GET credentials",
		anyframetest.OpCredentialSet: "PUT credentials/codex", anyframetest.OpCredentialClear: "DELETE credentials/codex",
		anyframetest.OpConnectors: "GET connectors", anyframetest.OpCatalog: "GET connectors/catalog",
		anyframetest.OpDiscover: "POST connectors/discover", anyframetest.OpConnectorOAuth: "POST connectors/oauth",
		anyframetest.OpConnectorBearer: "POST connectors/bearer", anyframetest.OpCatalogOAuth: "POST connectors/catalog/x/oauth",
		anyframetest.OpCatalogBearer: "POST connectors/catalog/x/bearer", anyframetest.OpReauthorize: "POST connectors/1/reauthorize",
		anyframetest.OpConnectorDelete: "DELETE connectors/1", anyframetest.OpAgents: "GET agents", anyframetest.OpAgent: "GET agents/1",
		anyframetest.OpAgentCreate: "POST agents", anyframetest.OpAgentUpdate: "PATCH agents/1", anyframetest.OpAgentDelete: "DELETE agents/1",
		anyframetest.OpBuild: "POST agents/1/build", anyframetest.OpBuildStatus: "GET agents/1/build/status",
		anyframetest.OpBuilds: "GET agents/1/builds", anyframetest.OpBuildLogURL: "GET agents/1/builds/2/log_url",
		anyframetest.OpBuildLog: "GET ../build-logs/x", anyframetest.OpBuildStream: "GET agents/1/builds/2/stream",
		anyframetest.OpSkills: "GET agents/1/skills", anyframetest.OpSkillCreate: "POST agents/1/skills",
		anyframetest.OpSkillUpdate: "PATCH agents/1/skills/1", anyframetest.OpSkillDelete: "DELETE agents/1/skills/1",
		anyframetest.OpMCPs: "GET agents/1/mcps", anyframetest.OpMCPCreate: "POST agents/1/mcps",
		anyframetest.OpMCPUpdate: "PATCH agents/1/mcps/1", anyframetest.OpMCPDelete: "DELETE agents/1/mcps/1",
		anyframetest.OpToggles: "GET agents/1/connectors", anyframetest.OpToggleSet: "PUT agents/1/connectors/1",
		anyframetest.OpList: "GET sessions", anyframetest.OpCreate: "POST sessions", anyframetest.OpGet: "GET sessions/x",
		anyframetest.OpDelete: "DELETE sessions/x", anyframetest.OpResume: "POST sessions/x/resume",
		anyframetest.OpTerminate: "POST sessions/x/terminate", anyframetest.OpSnapshots: "GET sessions/x/snapshots",
		anyframetest.OpSaveAsBase: "POST sessions/x/save-as-base", anyframetest.OpMessage: "POST sessions/x/message",
		anyframetest.OpRespond: "POST sessions/x/respond", anyframetest.OpTranscript: "GET sessions/x/transcript",
		anyframetest.OpEvents: "GET sessions/x/events", anyframetest.OpPreviews: "POST sessions/x/previews",
		anyframetest.OpAttention: "GET attention",
	}
	if len(cases) != 51 {
		t.Errorf("got %d operations, want 51", len(cases))
	}
	for op, where := range cases {
		method, rest, _ := strings.Cut(where, " ")
		at, outside := strings.CutPrefix(rest, "../")
		if !outside {
			at = "api/" + rest
		}
		cp.Inject(anyframetest.Fault{Kind: anyframetest.Respond, Op: op, Status: 599})
		body := call(t, cp, method, "/"+at, nil, 599)
		cp.ClearFaults()
		if body["detail"] != "Scripted failure" || cp.Count(op) != 1 {
			t.Errorf("%s: got %v and %d requests, want the fault and 1", op, body, cp.Count(op))
		}
	}
}

func TestRoute_WrongMethod_NotAllowed(t *testing.T) {
	cp := anyframetest.Start(t)
	for _, c := range []struct{ method, path, allow string }{
		{"DELETE", "/api/me", "GET"},
		{"PUT", "/api/agents", "GET, POST"},
		{"POST", "/api/agents/1", "DELETE, GET, PATCH"},
		{"GET", "/api/agents/1/build", "POST"},
		{"POST", "/api/agents/1/builds/1/stream", "GET"},
		{"GET", "/api/sessions/" + strangersID + "/previews", "POST"},
		{"POST", "/api/attention", "GET"},
		{"GET", "/api/connectors/oauth", "DELETE, POST"},
	} {
		res, err := request(t, cp, c.method, c.path, nil)
		if err != nil {
			t.Fatal(err)
		}
		err = errors.Join(json.NewDecoder(res.Body).Decode(new(map[string]string)), res.Body.Close())
		if res.StatusCode != 405 || res.Header.Get("Allow") != c.allow || err != nil {
			t.Errorf("%s %s: got %d, Allow %q, %v, want 405 and %q", c.method, c.path, res.StatusCode, res.Header.Get("Allow"), err, c.allow)
		}
	}
	for _, nowhere := range []string{"/api/agents/", "/api/agents/1/", "/api//me", "/api/agents/1/skills/1/x", "/build-logs/", "/build-logs/x"} {
		call(t, cp, "GET", nowhere, nil, 404)
	}
}
