package anyframe

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"iter"
	"maps"
	"net/http"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

const sid = "0f8fad5b-d9cb-469f-a165-70867728950e"

// operation is a call and the name of the expected request.
type operation struct {
	name string // service and method, then the case
	call func(context.Context, *Client) error
}

// method is the service and method.
func (o operation) method() string {
	name, _, _ := strings.Cut(o.name, " ")
	return name
}

func value[T any](_ T, err error) error { return err }

func last[T any](seq iter.Seq2[T, error]) (err error) {
	for _, e := range seq {
		err = e
	}
	return err
}

// operations lists all operations, each with the fewest arguments, with all
// arguments, and with zero values where those are sent.
func operations() []operation {
	return slices.Concat(accountOperations, agentOperations, sessionOperations)
}

var accountOperations = []operation{
	{"Me", func(ctx context.Context, c *Client) error { return value(c.Me(ctx)) }},
	{"Tokens.List", func(ctx context.Context, c *Client) error { return value(c.Tokens.List(ctx)) }},
	{"Tokens.Create", func(ctx context.Context, c *Client) error { return value(c.Tokens.Create(ctx, "ci-bot")) }},
	{"Tokens.Revoke", func(ctx context.Context, c *Client) error { return c.Tokens.Revoke(ctx, 3) }},
	{"Credentials.Get", func(ctx context.Context, c *Client) error { return value(c.Credentials.Get(ctx)) }},
	{"Credentials.SetClaude", func(ctx context.Context, c *Client) error {
		return c.Credentials.SetClaude(ctx, NewSecret("sk-claude"))
	}},
	{"Credentials.SetCodex", func(ctx context.Context, c *Client) error { return c.Credentials.SetCodex(ctx, NewSecret("sk-codex")) }},
	{"Credentials.SetGitHub", func(ctx context.Context, c *Client) error { return c.Credentials.SetGitHub(ctx, NewSecret("ghp_x")) }},
	{"Credentials.ClearClaude", func(ctx context.Context, c *Client) error { return c.Credentials.ClearClaude(ctx) }},
	{"Credentials.ClearCodex", func(ctx context.Context, c *Client) error { return c.Credentials.ClearCodex(ctx) }},
	{"Credentials.ClearGitHub", func(ctx context.Context, c *Client) error { return c.Credentials.ClearGitHub(ctx) }},
	{"Connectors.List", func(ctx context.Context, c *Client) error { return value(c.Connectors.List(ctx)) }},
	{"Connectors.ListCatalog", func(ctx context.Context, c *Client) error { return value(c.Connectors.ListCatalog(ctx)) }},
	{"Connectors.Discover", func(ctx context.Context, c *Client) error {
		return value(c.Connectors.Discover(ctx, "https://mcp.example.com/?a=1&b=<2>"))
	}},
	{"Connectors.CreateOAuth minimal", func(ctx context.Context, c *Client) error {
		return value(c.Connectors.CreateOAuth(ctx, CreateOAuthConnectorParams{MCPURL: "https://mcp.example.com", DisplayName: "Example"}))
	}},
	{"Connectors.CreateOAuth full", func(ctx context.Context, c *Client) error {
		return value(c.Connectors.CreateOAuth(ctx, CreateOAuthConnectorParams{
			MCPURL: "https://mcp.example.com", DisplayName: "Example", DefaultEnabled: new(false),
		}))
	}},
	{"Connectors.CreateBearer minimal", func(ctx context.Context, c *Client) error {
		return value(c.Connectors.CreateBearer(ctx, CreateBearerConnectorParams{
			MCPURL: "https://mcp.example.com", DisplayName: "Example", Token: NewSecret("bearer-secret"),
		}))
	}},
	{"Connectors.CreateBearer full", func(ctx context.Context, c *Client) error {
		return value(c.Connectors.CreateBearer(ctx, CreateBearerConnectorParams{
			MCPURL: "https://mcp.example.com", DisplayName: "Example", Token: NewSecret("bearer-secret"), DefaultEnabled: new(false),
		}))
	}},
	{"Connectors.InstallCatalogOAuth", func(ctx context.Context, c *Client) error {
		return value(c.Connectors.InstallCatalogOAuth(ctx, "linear"))
	}},
	{"Connectors.InstallCatalogBearer", func(ctx context.Context, c *Client) error {
		return value(c.Connectors.InstallCatalogBearer(ctx, "my_sentry-2", NewSecret("sntrys_x")))
	}},
	{"Connectors.Reauthorize", func(ctx context.Context, c *Client) error { return value(c.Connectors.Reauthorize(ctx, 7)) }},
	{"Connectors.Delete", func(ctx context.Context, c *Client) error { return c.Connectors.Delete(ctx, 7) }},
	{"Attention.List minimal", func(ctx context.Context, c *Client) error { return value(c.Attention.List(ctx, 0)) }},
	{"Attention.List full", func(ctx context.Context, c *Client) error { return value(c.Attention.List(ctx, 100)) }},
}

var agentOperations = []operation{
	{"Agents.List", func(ctx context.Context, c *Client) error { return value(c.Agents.List(ctx)) }},
	{"Agents.Create minimal", func(ctx context.Context, c *Client) error {
		return value(c.Agents.Create(ctx, CreateAgentParams{Name: "demo"}))
	}},
	{"Agents.Create full", func(ctx context.Context, c *Client) error {
		return value(c.Agents.Create(ctx, CreateAgentParams{
			Name: "demo", Description: new("d"), SystemPrompt: new("Be <brief> & kind ü"), Runtime: RuntimeCodex,
			RepoURL: new("tinyhq/box"), RepoRef: new("main"), InstallCmd: new("bun install"), ServeCmd: new("bun dev"),
			PreviewPorts: []int{3000, 4000},
			Permissions:  map[string]any{"preset": PermissionsReadOnly, "extra_allowed_tools": []string{"Bash"}},
			EnvVars:      map[string]string{"A": "1", "B_2": ""},
		}))
	}},
	{"Agents.Create zero", func(ctx context.Context, c *Client) error {
		return value(c.Agents.Create(ctx, CreateAgentParams{
			Name: "demo", Description: new(""), SystemPrompt: new(""), RepoURL: new(""), RepoRef: new(""), InstallCmd: new(""),
			ServeCmd: new(""), PreviewPorts: []int{}, Permissions: map[string]any{}, EnvVars: EnvVars{},
		}))
	}},
	{"Agents.Get", func(ctx context.Context, c *Client) error { return value(c.Agents.Get(ctx, 42)) }},
	{"Agents.Update minimal", func(ctx context.Context, c *Client) error {
		return value(c.Agents.Update(ctx, 42, UpdateAgentParams{}))
	}},
	{"Agents.Update full", func(ctx context.Context, c *Client) error {
		return value(c.Agents.Update(ctx, 42, UpdateAgentParams{
			Name: new("n"), Description: new("d"), SystemPrompt: new("p"), Runtime: RuntimeClaude, RepoURL: new("a/b"),
			RepoRef: new("r"), InstallCmd: new("i"), ServeCmd: new("s"), PreviewPorts: []int{1},
			Permissions: map[string]any{"preset": "standard"}, EnvVars: EnvVars{"A": "x"},
		}))
	}},
	{"Agents.Update zero", func(ctx context.Context, c *Client) error {
		return value(c.Agents.Update(ctx, 42, UpdateAgentParams{
			Name: new(""), Description: new(""), SystemPrompt: new(""), RepoURL: new(""), RepoRef: new(""), InstallCmd: new(""),
			ServeCmd: new(""), PreviewPorts: []int{}, Permissions: map[string]any{}, EnvVars: EnvVars{},
		}))
	}},
	{"Agents.Delete", func(ctx context.Context, c *Client) error { return c.Agents.Delete(ctx, 42) }},
	{"Agents.Build minimal", func(ctx context.Context, c *Client) error {
		return value(c.Agents.Build(ctx, 42, BuildParams{}))
	}},
	{"Agents.Build full", func(ctx context.Context, c *Client) error {
		return value(c.Agents.Build(ctx, 42, BuildParams{Force: true}))
	}},
	{"Agents.BuildStatus", func(ctx context.Context, c *Client) error { return value(c.Agents.BuildStatus(ctx, 42)) }},
	{"Agents.Builds minimal", func(ctx context.Context, c *Client) error { return value(c.Agents.Builds(ctx, 42, 0)) }},
	{"Agents.Builds full", func(ctx context.Context, c *Client) error { return value(c.Agents.Builds(ctx, 42, 5)) }},
	{"Agents.BuildLogURL", func(ctx context.Context, c *Client) error { return value(c.Agents.BuildLogURL(ctx, 42, 128)) }},
	{"Agents.StreamBuild", func(ctx context.Context, c *Client) error {
		return last(c.Agents.StreamBuild(ctx, 42, 128, StreamOptions{}))
	}},
	{"Agents.WaitForBuild", func(ctx context.Context, c *Client) error {
		return value(c.Agents.WaitForBuild(ctx, 42, WaitOptions{}))
	}},
	{"Agents.Skills.List", func(ctx context.Context, c *Client) error { return value(c.Agents.Skills.List(ctx, 42)) }},
	{"Agents.Skills.Create minimal", func(ctx context.Context, c *Client) error {
		return value(c.Agents.Skills.Create(ctx, 42, CreateSkillParams{
			Name: "repo-tour", Source: SkillInline, Content: map[string]any{},
		}))
	}},
	{"Agents.Skills.Create full", func(ctx context.Context, c *Client) error {
		return value(c.Agents.Skills.Create(ctx, 42, CreateSkillParams{
			Name: "repo-tour", Source: SkillGit, Content: map[string]any{"url": "u", "none": nil, "n": int64(9007199254740993)},
			Enabled: new(false),
		}))
	}},
	{"Agents.Skills.Update minimal", func(ctx context.Context, c *Client) error {
		return value(c.Agents.Skills.Update(ctx, 42, 5, UpdateSkillParams{}))
	}},
	{"Agents.Skills.Update full", func(ctx context.Context, c *Client) error {
		return value(c.Agents.Skills.Update(ctx, 42, 5, UpdateSkillParams{
			Name: new("n"), Content: map[string]any{"markdown": "m"}, Enabled: new(true),
		}))
	}},
	{"Agents.Skills.Update zero", func(ctx context.Context, c *Client) error {
		return value(c.Agents.Skills.Update(ctx, 42, 5, UpdateSkillParams{
			Name: new(""), Content: map[string]any{}, Enabled: new(false),
		}))
	}},
	{"Agents.Skills.Delete", func(ctx context.Context, c *Client) error { return c.Agents.Skills.Delete(ctx, 42, 5) }},
	{"Agents.MCPs.List", func(ctx context.Context, c *Client) error { return value(c.Agents.MCPs.List(ctx, 42)) }},
	{"Agents.MCPs.Create minimal", func(ctx context.Context, c *Client) error {
		return value(c.Agents.MCPs.Create(ctx, 42, CreateMCPParams{
			Name: "fs", Transport: TransportStdio, Config: map[string]any{},
		}))
	}},
	{"Agents.MCPs.Create full", func(ctx context.Context, c *Client) error {
		return value(c.Agents.MCPs.Create(ctx, 42, CreateMCPParams{
			Name: "fs", Transport: TransportHTTP, Config: map[string]any{"command": "npx", "args": []string{"a", "b"}},
			SecretRef: new(""), Enabled: new(false),
		}))
	}},
	{"Agents.MCPs.Update minimal", func(ctx context.Context, c *Client) error {
		return value(c.Agents.MCPs.Update(ctx, 42, 6, UpdateMCPParams{}))
	}},
	{"Agents.MCPs.Update full", func(ctx context.Context, c *Client) error {
		return value(c.Agents.MCPs.Update(ctx, 42, 6, UpdateMCPParams{
			Name: new("n"), Config: map[string]any{"url": "u"}, SecretRef: new("s"), Enabled: new(true),
		}))
	}},
	{"Agents.MCPs.Update zero", func(ctx context.Context, c *Client) error {
		return value(c.Agents.MCPs.Update(ctx, 42, 6, UpdateMCPParams{
			Name: new(""), Config: map[string]any{}, SecretRef: new(""), Enabled: new(false),
		}))
	}},
	{"Agents.MCPs.Delete", func(ctx context.Context, c *Client) error { return c.Agents.MCPs.Delete(ctx, 42, 6) }},
	{"Agents.Connectors.List", func(ctx context.Context, c *Client) error { return value(c.Agents.Connectors.List(ctx, 42)) }},
	{"Agents.Connectors.Set full", func(ctx context.Context, c *Client) error {
		return value(c.Agents.Connectors.Set(ctx, 42, 7, true))
	}},
	{"Agents.Connectors.Set zero", func(ctx context.Context, c *Client) error {
		return value(c.Agents.Connectors.Set(ctx, 42, 7, false))
	}},
}

var sessionOperations = []operation{
	{"Sessions.List", func(ctx context.Context, c *Client) error { return value(c.Sessions.List(ctx)) }},
	{"Sessions.Create minimal", func(ctx context.Context, c *Client) error {
		return value(c.Sessions.Create(ctx, CreateSessionParams{AgentID: 42}))
	}},
	{"Sessions.Create full", func(ctx context.Context, c *Client) error {
		return value(c.Sessions.Create(ctx, CreateSessionParams{
			AgentID: 42, IdleTimeout: new(15 * time.Minute), Unsafe: true, ResumeFromSnapshotID: new(int64(9)), IsSetupSession: true,
		}))
	}},
	{"Sessions.Create zero", func(ctx context.Context, c *Client) error {
		return value(c.Sessions.Create(ctx, CreateSessionParams{AgentID: 42, IdleTimeout: nil, Unsafe: false, IsSetupSession: false}))
	}},
	{"Sessions.Get", func(ctx context.Context, c *Client) error { return value(c.Sessions.Get(ctx, sid)) }},
	{"Sessions.Terminate", func(ctx context.Context, c *Client) error { return value(c.Sessions.Terminate(ctx, sid)) }},
	{"Sessions.Delete", func(ctx context.Context, c *Client) error { return c.Sessions.Delete(ctx, sid) }},
	{"Sessions.Resume minimal", func(ctx context.Context, c *Client) error {
		return value(c.Sessions.Resume(ctx, sid, ResumeSessionParams{}))
	}},
	{"Sessions.Resume full", func(ctx context.Context, c *Client) error {
		return value(c.Sessions.Resume(ctx, sid, ResumeSessionParams{Unsafe: true}))
	}},
	{"Sessions.Snapshots", func(ctx context.Context, c *Client) error { return value(c.Sessions.Snapshots(ctx, sid)) }},
	{"Sessions.SaveAsBase", func(ctx context.Context, c *Client) error { return value(c.Sessions.SaveAsBase(ctx, sid)) }},
	{"Sessions.Message minimal", func(ctx context.Context, c *Client) error {
		return value(c.Sessions.Message(ctx, sid, Message{Prompt: "hi"}))
	}},
	{"Sessions.Message full", func(ctx context.Context, c *Client) error {
		return value(c.Sessions.Message(ctx, sid, Message{Prompt: "hi", Attachments: []Attachment{
			{Kind: AttachmentImage, Name: "a.png", MIME: "image/png", Data: []byte{0xfb, 0xff}},
			{Kind: AttachmentText, Name: "b.txt", MIME: "text/plain", Text: "ü"},
		}}))
	}},
	{"Sessions.Message zero", func(ctx context.Context, c *Client) error {
		return value(c.Sessions.Message(ctx, sid, Message{Attachments: []Attachment{}}))
	}},
	{"Sessions.Message raw", func(ctx context.Context, c *Client) error {
		return value(c.Sessions.MessageRaw(ctx, sid, map[string]any{"role": "user", "content": "list files", "extra": nil}))
	}},
	{"Sessions.Respond full", func(ctx context.Context, c *Client) error {
		return value(c.Sessions.Respond(ctx, sid, map[string]any{"decision": "approve", "tool_use_id": "t1", "note": nil}))
	}},
	{"Sessions.Respond zero", func(ctx context.Context, c *Client) error {
		return value(c.Sessions.Respond(ctx, sid, struct{}{}))
	}},
	{"Sessions.Transcript minimal", func(ctx context.Context, c *Client) error {
		return value(c.Sessions.Transcript(ctx, sid, 0, 0))
	}},
	{"Sessions.Transcript full", func(ctx context.Context, c *Client) error {
		return value(c.Sessions.Transcript(ctx, sid, 41, 10))
	}},
	{"Sessions.Events minimal", func(ctx context.Context, c *Client) error {
		return last(c.Sessions.Events(ctx, sid, StreamOptions{}))
	}},
	{"Sessions.Events full", func(ctx context.Context, c *Client) error {
		return last(c.Sessions.Events(ctx, sid, StreamOptions{LastEventID: "41"}))
	}},
	{"Sessions.WaitUntilRunning", func(ctx context.Context, c *Client) error {
		return value(c.Sessions.WaitUntilRunning(ctx, sid, WaitOptions{}))
	}},
	{"Sessions.Previews.List", func(ctx context.Context, c *Client) error { return value(c.Sessions.Previews.List(ctx, sid)) }},
	{"Sessions.Previews.Start minimal", func(ctx context.Context, c *Client) error {
		return value(c.Sessions.Previews.Start(ctx, sid, PreviewSpec{Cmd: "bun dev"}))
	}},
	{"Sessions.Previews.Start full", func(ctx context.Context, c *Client) error {
		return value(c.Sessions.Previews.Start(ctx, sid, PreviewSpec{Cmd: "bun dev", Port: new(3000), Name: new("web")}))
	}},
	{"Sessions.Previews.Start zero", func(ctx context.Context, c *Client) error {
		return value(c.Sessions.Previews.Start(ctx, sid, PreviewSpec{Cmd: "bun dev", Port: new(0), Name: new("")}))
	}},
	{"Sessions.Previews.Stop minimal", func(ctx context.Context, c *Client) error {
		return value(c.Sessions.Previews.Stop(ctx, sid, PreviewRef{}))
	}},
	{"Sessions.Previews.Stop full", func(ctx context.Context, c *Client) error {
		return value(c.Sessions.Previews.Stop(ctx, sid, PreviewRef{Port: new(3000), Name: new("web")}))
	}},
	{"Sessions.Previews.Status minimal", func(ctx context.Context, c *Client) error {
		return value(c.Sessions.Previews.Status(ctx, sid, PreviewRef{Name: new("web")}))
	}},
	{"Sessions.Previews.Status full", func(ctx context.Context, c *Client) error {
		return value(c.Sessions.Previews.Status(ctx, sid, PreviewRef{Port: new(3000), Name: new("web")}))
	}},
	{"Sessions.Previews.Logs minimal", func(ctx context.Context, c *Client) error {
		return value(c.Sessions.Previews.Logs(ctx, sid, PreviewRef{}, 0))
	}},
	{"Sessions.Previews.Logs full", func(ctx context.Context, c *Client) error {
		return value(c.Sessions.Previews.Logs(ctx, sid, PreviewRef{Port: new(3000), Name: new("web")}, 50))
	}},
	{"Sessions.Previews.BatchStart minimal", func(ctx context.Context, c *Client) error {
		return value(c.Sessions.Previews.BatchStart(ctx, sid, nil))
	}},
	{"Sessions.Previews.BatchStart full", func(ctx context.Context, c *Client) error {
		return value(c.Sessions.Previews.BatchStart(ctx, sid, []PreviewSpec{
			{Cmd: "bun dev", Port: new(3000), Name: new("web")}, {Cmd: "bun api"},
		}))
	}},
	{"Sessions.Previews.BatchStart zero", func(ctx context.Context, c *Client) error {
		return value(c.Sessions.Previews.BatchStart(ctx, sid, []PreviewSpec{}))
	}},
}

// Helpers are made of operations; each has its own tests.
var helpers = []string{
	"Agents.BuildAndWait", "Sessions.EnsureRunning", "Do", "Sessions.Follow", "Sessions.Follower", "Sessions.MessageRaw", "Sessions.TranscriptAll",
	"Sessions.Turn",
}

func TestOperations_Table_HasEveryMethod(t *testing.T) {
	const operationsOfTheAPI, waits = 59, 2
	tested := map[string]bool{}
	for _, o := range operations() {
		tested[o.method()] = true
	}
	if len(tested) != operationsOfTheAPI+waits {
		t.Errorf("got %d methods, want %d", len(tested), operationsOfTheAPI+waits)
	}
	var all []string
	methodsOf(reflect.TypeFor[*Client](), "", &all)
	want := slices.Sorted(maps.Keys(tested))
	for _, name := range all {
		if !tested[name] && !slices.Contains(helpers, name) {
			t.Errorf("got a method %s, want it in the table", name)
		}
	}
	for _, name := range want {
		if !slices.Contains(all, name) {
			t.Errorf("got no method %s", name)
		}
	}
}

// methodsOf lists the methods that make requests, service by service.
func methodsOf(v reflect.Type, prefix string, list *[]string) {
	for m := range v.Methods() {
		if m.Type.NumIn() > 1 && m.Type.In(1) == reflect.TypeFor[context.Context]() {
			*list = append(*list, prefix+m.Name)
		}
	}
	for f := range v.Elem().Fields() {
		if f.IsExported() {
			methodsOf(f.Type, prefix+f.Name+".", list)
		}
	}
}

// wanted is a request in the golden file.
type wanted struct {
	line    string
	headers http.Header
	body    string // "" means none
}

// readOperations reads the golden file.
func readOperations(t *testing.T) map[string]wanted {
	t.Helper()
	text, err := os.ReadFile("testdata/operations.txt")
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]wanted{}
	for block := range strings.SplitSeq(string(text), "\n== ") {
		lines := strings.Split(strings.TrimSpace(block), "\n")
		if strings.HasPrefix(lines[0], "#") {
			continue
		}
		w := wanted{line: lines[1], headers: http.Header{
			"Accept":          {"application/json"},
			"Accept-Encoding": {"gzip"},
			"Authorization":   {"Bearer " + testKey},
			"User-Agent":      {"anyframe-go/" + Version},
		}}
		for _, line := range lines[2:] {
			if strings.HasPrefix(line, "{") {
				w.body = line
				w.headers.Set("Content-Type", "application/json")
				continue
			}
			name, value, _ := strings.Cut(line, ": ")
			w.headers.Set(name, value)
		}
		if w.headers.Get("Accept") == "text/event-stream" {
			w.headers.Set("Accept-Encoding", "identity")
		}
		all[lines[0]] = w
	}
	return all
}

// answerTo returns a response that the operation can decode.
func answerTo(r *http.Request, body string) (status int, contentType, text string) {
	list := []string{
		"/api/tokens", "/api/connectors", "/api/connectors/catalog", "/api/agents", "/builds", "/skills", "/mcps",
		"/connectors", "/api/sessions", "/snapshots", "/transcript", "/api/attention",
	}
	isList := slices.ContainsFunc(list, func(end string) bool { return strings.HasSuffix(r.URL.Path, end) })
	switch {
	case strings.HasSuffix(r.URL.Path, "/events"), strings.HasSuffix(r.URL.Path, "/stream"):
		return 200, "text/event-stream", ""
	case r.Method == http.MethodDelete, strings.HasPrefix(r.URL.Path, "/api/credentials/"):
		return 204, "", ""
	case r.Method == http.MethodGet && isList, strings.Contains(body, `"list"`):
		return 200, "application/json", "[]"
	case strings.HasPrefix(r.URL.Path, "/api/sessions"):
		return 201, "application/json", `{"id":"` + sid + `","status":"running"}`
	}
	return 200, "application/json", `{"id":1,"connector_id":1,"url":"https://l","state":"succeeded"}`
}

func TestOperations_EveryMethod_SendsContract(t *testing.T) {
	golden := readOperations(t)
	seen := map[string]bool{}
	for _, o := range operations() {
		want, ok := golden[o.name]
		if !ok {
			t.Errorf("%s: got no golden request", o.name)
			continue
		}
		seen[o.name] = true
		requests := 0
		c := newServer(t, func(w http.ResponseWriter, r *http.Request) {
			requests++
			text, err := io.ReadAll(r.Body)
			if err != nil {
				t.Error(err)
			}
			if got := r.Method + " " + r.RequestURI; got != want.line {
				t.Errorf("%s: got %s, want %s", o.name, got, want.line)
			}
			if len(text) > 0 {
				r.Header.Del("Content-Length")
			}
			if want.body == "" && r.Method != http.MethodGet && r.Method != http.MethodDelete {
				want.headers.Set("Content-Length", "0")
			}
			if !reflect.DeepEqual(r.Header, want.headers) {
				t.Errorf("%s: got headers %v, want %v", o.name, r.Header, want.headers)
			}
			if (want.body == "") != (len(text) == 0) || want.body != "" && !sameJSON(string(text), want.body) {
				t.Errorf("%s: got body %s, want %s", o.name, text, want.body)
			}
			status, kind, answer := answerTo(r, string(text))
			w.Header().Set("Content-Type", kind)
			w.WriteHeader(status)
			fmt.Fprint(w, answer)
		})
		if err := o.call(t.Context(), c); err != nil || requests != 1 {
			t.Errorf("%s: got %v after %d requests, want success after one", o.name, err, requests)
		}
	}
	for name := range golden {
		if !seen[name] {
			t.Errorf("%s: got no call for the golden request", name)
		}
	}
}

// sameJSON compares values, and numbers by their text.
func sameJSON(a, b string) bool {
	var values [2]any
	for i, text := range []string{a, b} {
		d := json.NewDecoder(strings.NewReader(text))
		d.UseNumber()
		if d.Decode(&values[i]) != nil || d.More() {
			return false
		}
	}
	return reflect.DeepEqual(values[0], values[1])
}
