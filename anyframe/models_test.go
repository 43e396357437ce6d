package anyframe

import (
	"encoding/json"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

// model is a type and its JSON in the contract: every member, which of them may be
// null or absent, and the default then if that is not the zero value.
type model struct {
	zero     any
	full     string
	optional map[string]any // nil is the zero value
}

func maybe(names ...string) map[string]any {
	m := map[string]any{}
	for _, n := range names {
		m[n] = nil
	}
	return m
}

func with(m map[string]any, name string, value any) map[string]any {
	m[name] = value
	return m
}

const (
	stamp       = `"2025-01-01T00:00:00Z"`
	skillJSON   = `{"id":5,"name":"tour","source":"inline","content":{"markdown":"m"},"enabled":true,"created_at":` + stamp + `}`
	mcpJSON     = `{"id":6,"name":"fs","transport":"stdio","config":{"command":"npx"},"secret_ref":"s","enabled":true,"created_at":` + stamp + `}`
	toggleJSON  = `{"connector_id":7,"display_name":"Linear","mcp_url":"u","auth_kind":"oauth_dcr","enabled":true,"is_authorized":true}`
	imageJSON   = `{"build_key":"k","modal_image_id":"im","built_at":` + stamp + `}`
	previewJSON = `{"port":3000,"name":"web","cmd":"bun dev","status":"running","url":"https://p","started_at":1735689600.25,"exit_code":0}`
	tokenPart   = `"id":3,"name":"ci","prefix":"afm_","last4":"wxyz","created_at":` + stamp + `,"revoked_at":` + stamp
	agentPart   = `"id":42,"name":"demo","description":"d","system_prompt":"p","runtime":"codex","repo_url":"tinyhq/box",
		"repo_ref":"main","install_cmd":"i","serve_cmd":"s","preview_ports":[3000],"build_key":"k",
		"permissions":{"preset":"read_only"},"env_vars":{"A":"****"},"warmup_image_id":"w",
		"created_at":` + stamp + `,"updated_at":` + stamp
)

var agentOptional = []string{
	"description", "system_prompt", "repo_url", "repo_ref", "install_cmd", "serve_cmd", "preview_ports", "build_key",
	"permissions", "env_vars", "warmup_image_id",
}

var modelsOfTheAPI = []model{
	{User{}, `{"id":1,"github_id":2,"login":"ann","name":"Ann","avatar_url":"https://a"}`, maybe("name", "avatar_url")},
	{Token{}, `{` + tokenPart + `}`, maybe("revoked_at")},
	{TokenCreated{}, `{` + tokenPart + `,"token":"afm_Zq7secretwxyz"}`, maybe("revoked_at")},
	{CredentialPart{}, `{"set":true,"last4":"abcd","updated_at":` + stamp + `}`, maybe("last4", "updated_at")},
	{
		Credentials{}, `{"claude":{"set":true,"last4":"a","updated_at":` + stamp + `},"codex":{"set":true,"last4":"b","updated_at":` + stamp + `},
		"github":{"set":true,"last4":"c","updated_at":` + stamp + `}}`, maybe("codex"),
	},
	{
		Connector{},
		`{"id":7,"display_name":"Linear","mcp_url":"https://m","catalog_slug":"linear","default_enabled":true,
		"transport":"sse","auth_kind":"bearer_token","secret_last4":"wxyz","expires_at":` + stamp + `,"scopes":"a b","is_authorized":true,
		"last_refresh_attempt_at":` + stamp + `,"last_refresh_error":"e","created_at":` + stamp + `,"updated_at":` + stamp + `}`,
		with(maybe("catalog_slug", "secret_last4", "expires_at", "scopes", "last_refresh_attempt_at", "last_refresh_error"), "default_enabled", true),
	},
	{
		ConnectorDiscovery{}, `{"mcp_url":"u","supports_dcr":true,"suggested_display_name":"n","authorization_endpoint":"a",
		"token_endpoint":"t","scopes_supported":["s"]}`, maybe("authorization_endpoint", "token_endpoint", "scopes_supported"),
	},
	{ConnectorAuthorize{}, `{"connector_id":7,"authorize_url":"https://a","state":"s"}`, nil},
	{
		ConnectorCatalogItem{},
		`{"slug":"linear","display_name":"Linear","category":"c","description":"d","mcp_url":"u",
		"transport":"http","setup_kind":"custom_mcp","publisher":"p","trust_level":"official","docs_url":"https://d","tags":["t"],
		"has_logo":true,"coming_soon":true,"installed":true,"connector_id":7,"is_authorized":false}`,
		maybe("tags", "has_logo", "coming_soon", "installed", "connector_id", "is_authorized"),
	},
	{Agent{}, `{` + agentPart + `}`, with(maybe(agentOptional...), "runtime", RuntimeClaude)},
	{
		AgentDetail{},
		`{` + agentPart + `,"skills":[` + skillJSON + `],"mcps":[` + mcpJSON + `],"connectors":[` + toggleJSON + `],"image":` + imageJSON + `}`,
		with(maybe(append([]string{"skills", "mcps", "connectors", "image"}, agentOptional...)...), "runtime", RuntimeClaude),
	},
	{AgentSkill{}, skillJSON, nil},
	{AgentMCP{}, mcpJSON, maybe("secret_ref")},
	{AgentConnectorToggle{}, toggleJSON, nil},
	{AgentImage{}, imageJSON, nil},
	{
		BuildQueued{},
		`{"agent_id":42,"build_key":"k","queued":true,"reason":"r","build_id":128}`,
		maybe("build_key", "reason", "build_id"),
	},
	{
		BuildStatus{},
		`{"agent_id":42,"build_key":"k","state":"succeeded","started_at":` + stamp + `,"finished_at":` + stamp + `,"error":"e","built_image_id":"im"}`,
		maybe("build_key", "state", "started_at", "finished_at", "error", "built_image_id"),
	},
	{
		Build{},
		`{"id":128,"build_key":"k","state":"failed","started_at":` + stamp + `,"finished_at":` + stamp + `,"error":"e","log_size":0}`,
		maybe("finished_at", "error", "log_size"),
	},
	{LogURL{}, `{"url":"https://l","expires_in":900}`, nil},
	{
		Session{},
		`{"id":"` + sid + `","agent_id":42,"status":"running","modal_sandbox_id":"sb","sandbox_url":"https://s",
		"snapshot_image_id":"im","idle_timeout_s":300,"previews":[` + previewJSON + `],"is_setup_session":true,
		"error_reason":"no capacity","driver_user_id":5,
		"created_at":` + stamp + `,"last_active":` + stamp + `}`,
		maybe("modal_sandbox_id", "sandbox_url", "snapshot_image_id", "previews", "is_setup_session", "error_reason", "driver_user_id"),
	},
	{Snapshot{}, `{"id":9,"modal_image_id":"im","label":"l","created_at":` + stamp + `}`, maybe("label")},
	{SaveAsBaseResult{}, `{"warmup_image_id":"im","warmup_inputs_hash":"sha256:x"}`, nil},
	{ChatEvent{}, `{"seq":12,"payload":{"type":"result"},"created_at":` + stamp + `}`, nil},
	{Preview{}, previewJSON, maybe("cmd", "url", "started_at", "exit_code")},
	{PreviewSpec{}, `{"cmd":"bun dev","port":3000,"name":"web"}`, maybe("port", "name")},
	{
		PreviewActionResult{},
		`{"ok":true,"port":3000,"name":"web","url":"https://p","status":"starting","restart_pending":true,"already_open":true,"error":"e"}`,
		maybe("port", "name", "url", "status", "restart_pending", "already_open", "error"),
	},
	{
		PreviewBatchResult{},
		`{"ok":true,"restart_pending":true,"previews":[` + previewJSON + `],"error":"e"}`,
		maybe("restart_pending", "previews", "error"),
	},
}

// decode reads JSON into a new value of the model's type.
func (m model) decode(t *testing.T, text string) reflect.Value {
	t.Helper()
	v := reflect.New(reflect.TypeOf(m.zero))
	if err := json.Unmarshal([]byte(text), v.Interface()); err != nil {
		t.Errorf("%T: %v in %s", m.zero, err, text)
	}
	return v.Elem()
}

// fieldOf finds a field by its JSON name, including embedded ones.
func fieldOf(v reflect.Value, name string) reflect.Value {
	for _, f := range reflect.VisibleFields(v.Type()) {
		if tag, _, _ := strings.Cut(f.Tag.Get("json"), ","); tag == name {
			return v.FieldByIndex(f.Index)
		}
	}
	return reflect.Value{}
}

func edit(t *testing.T, text string, change func(map[string]any)) string {
	t.Helper()
	var m map[string]any
	if err := json.Unmarshal([]byte(text), &m); err != nil {
		t.Fatalf("%v in %s", err, text)
	}
	change(m)
	out, err := json.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}

func TestModels_AllMembers_Decoded(t *testing.T) {
	const models, kindsOfAttention = 30, 3 // those have their own test
	if len(modelsOfTheAPI) != models-kindsOfAttention {
		t.Errorf("got %d models, want %d", len(modelsOfTheAPI), models-kindsOfAttention)
	}
	for _, m := range modelsOfTheAPI {
		v := m.decode(t, m.full)
		fields := 0
		for _, f := range reflect.VisibleFields(v.Type()) {
			if f.Anonymous {
				continue
			}
			fields++
			if v.FieldByIndex(f.Index).IsZero() {
				t.Errorf("%T: got nothing in %s, want it read", m.zero, f.Name)
			}
		}
		var members map[string]any
		if err := json.Unmarshal([]byte(m.full), &members); err != nil || len(members) != fields {
			t.Errorf("%T: got %d fields, want %d, %v", m.zero, fields, len(members), err)
		}
		// The decoded value is encoded, so each member is in its own field.
		out, err := json.Marshal(v.Interface())
		want := strings.ReplaceAll(m.full, "afm_Zq7secretwxyz", "afm_…wxyz")
		if err != nil || !sameJSON(string(out), want) {
			t.Errorf("%T: got %s, %v, want %s", m.zero, out, err, want)
		}
	}
}

func TestModels_NoOptionalMembers_Decoded(t *testing.T) {
	for _, m := range modelsOfTheAPI {
		want := m.decode(t, m.full)
		for name, value := range m.optional {
			f := fieldOf(want, name)
			if !f.IsValid() {
				t.Fatalf("%T: got no field for %s", m.zero, name)
			}
			f.SetZero()
			if value != nil {
				f.Set(reflect.ValueOf(value))
			}
		}
		minimal := edit(t, m.full, func(o map[string]any) {
			maps.DeleteFunc(o, func(name string, _ any) bool { _, optional := m.optional[name]; return optional })
		})
		if got := m.decode(t, minimal); !reflect.DeepEqual(got.Interface(), want.Interface()) {
			t.Errorf("%T, minimal: got %+v, want %+v", m.zero, got, want)
		}
		nulls := edit(t, m.full, func(o map[string]any) {
			for name := range m.optional {
				o[name] = nil
			}
		})
		if got := m.decode(t, nulls); !reflect.DeepEqual(got.Interface(), want.Interface()) {
			t.Errorf("%T, nulls: got %+v, want %+v", m.zero, got, want)
		}
	}
}

func TestModels_NullsAndUnknownMembers_Accepted(t *testing.T) {
	for _, m := range modelsOfTheAPI {
		want := m.decode(t, m.full)
		extended := edit(t, m.full, func(o map[string]any) {
			o["zz_new"] = map[string]any{"id": []any{1, nil}}
			o["zz_more"], o["zz_null"], o["kindred"] = "x", nil, 1.5
		})
		if got := m.decode(t, extended); !reflect.DeepEqual(got.Interface(), want.Interface()) {
			t.Errorf("%T: got %+v, want %+v", m.zero, got, want)
		}
		m.decode(t, edit(t, m.full, func(o map[string]any) {
			for name := range o {
				o[name] = nil
			}
		}))
		m.decode(t, `null`)
		m.decode(t, `{}`)
	}
}

func TestModels_DecodedAgain_PreviousValueCleared(t *testing.T) {
	a := AgentDetail{Agent: Agent{ID: 1, Name: "old", Runtime: RuntimeCodex}, Skills: []AgentSkill{{ID: 1}}, Image: &AgentImage{}}
	c := Connector{ID: 1, DefaultEnabled: false, Scopes: "old"}
	i := AttentionItem{Kind: AttentionPending, Preview: "old"}
	for _, v := range []any{&a, &c, &i} {
		if err := json.Unmarshal([]byte(`{"id":2}`), v); err != nil {
			t.Error(err)
		}
	}
	if a.Name != "" || a.Runtime != RuntimeClaude || a.Skills != nil || a.Image != nil || !c.DefaultEnabled || c.Scopes != "" || i.Preview != "" {
		t.Errorf("got %+v, %+v, %+v, want nothing of what was there", a, c, i)
	}
}

func TestEnums_UnknownValue_Kept(t *testing.T) {
	type enum interface{ Known() bool }
	tests := []struct {
		known []enum
		odd   []enum
	}{
		{
			[]enum{StatusBooting, StatusRunning, StatusSnapshotting, StatusTerminated, StatusPaused, StatusError},
			[]enum{SessionStatus("hibernating"), SessionStatus("")},
		},
		{
			[]enum{PreviewStarting, PreviewRunning, PreviewPaused, PreviewStopped, PreviewError},
			[]enum{PreviewStatus("odd"), PreviewStatus("")},
		},
		{
			[]enum{BuildStateQueued, BuildStateRunning, BuildStateSucceeded, BuildStateFailed, BuildStateCancelled},
			[]enum{BuildState("odd"), BuildState("")},
		},
		{[]enum{RuntimeClaude, RuntimeCodex}, []enum{Runtime("gemini"), Runtime("")}},
		{[]enum{TransportHTTP, TransportSSE, TransportStdio}, []enum{MCPTransport("ws")}},
		{[]enum{SkillInline, SkillGit}, []enum{SkillSource("odd")}},
		{[]enum{AuthOAuthDCR, AuthOAuthPreregistered, AuthBearerToken}, []enum{ConnectorAuthKind("odd")}},
		{
			[]enum{SetupOAuthDCR, SetupOAuthPreregistered, SetupBearerToken, SetupCustomMCP},
			[]enum{CatalogSetupKind("odd")},
		},
		{[]enum{TrustOfficial, TrustVerified, TrustCommunity}, []enum{CatalogTrustLevel("odd")}},
		{[]enum{PermissionsReadOnly, PermissionsStandard, PermissionsFullTrust}, []enum{PermissionPreset("odd")}},
		{[]enum{AttentionPending, AttentionIdle, AttentionPaused}, []enum{AttentionKind("odd")}},
	}
	for _, test := range tests {
		for _, e := range test.known {
			if !e.Known() {
				t.Errorf("got %T %q unknown, want known", e, e)
			}
		}
		for _, e := range test.odd {
			if e.Known() {
				t.Errorf("got %T %q known, want unknown", e, e)
			}
		}
	}
	var list []Build
	if err := json.Unmarshal([]byte(`[{"id":1,"state":"paused"},{"id":2,"state":"failed"}]`), &list); err != nil || list[0].State != "paused" {
		t.Errorf("got %+v, %v, want the odd state passed on", list, err)
	}
}

func TestAttentionItems_EachKind_Decoded(t *testing.T) {
	at := Time{time.Date(2025, 1, 1, 0, 0, 0, 0, time.UTC)}
	head := `"session_id":"` + sid + `","agent_id":42,"agent_name":"demo","at":` + stamp
	item := AttentionItem{SessionID: sid, AgentID: 42, AgentName: "demo", At: at}
	tests := []struct {
		text string
		want func(AttentionItem) AttentionItem
	}{
		{`{"kind":"pending",` + head + `,"session_status":"running","seq":9,"payload":{"type":"ask_user_question","question":"Sure?"},"preview":"p","new":1}`, func(i AttentionItem) AttentionItem {
			i.Kind, i.SessionStatus, i.Seq, i.Preview = AttentionPending, StatusRunning, 9, "p"
			i.Payload = json.RawMessage(`{"type":"ask_user_question","question":"Sure?"}`)
			return i
		}},
		{`{"kind":"pending",` + head + `,"session_status":"running","seq":9,"payload":null,"preview":null}`, func(i AttentionItem) AttentionItem {
			i.Kind, i.SessionStatus, i.Seq = AttentionPending, StatusRunning, 9
			return i
		}},
		{`{"kind":"idle",` + head + `,"preview":"p"}`, func(i AttentionItem) AttentionItem {
			i.Kind, i.Preview = AttentionIdle, "p"
			return i
		}},
		{`{"kind":"paused",` + head + `,"snapshot_image_id":"im"}`, func(i AttentionItem) AttentionItem {
			i.Kind, i.SnapshotImageID = AttentionPaused, "im"
			return i
		}},
		{`{"kind":"on_fire",` + head + `,"preview":{"a":[1]},"seq":"x","degrees":900}`, func(i AttentionItem) AttentionItem {
			i.Kind = "on_fire"
			return i
		}},
		{`{"kind":7}`, func(AttentionItem) AttentionItem { return AttentionItem{Kind: "7"} }},
		{`"odd"`, func(AttentionItem) AttentionItem { return AttentionItem{} }},
	}
	texts := make([]string, 0, len(tests))
	for _, test := range tests {
		texts = append(texts, test.text)
	}
	all := "[" + strings.Join(texts, ",") + "]"
	var got []AttentionItem
	if err := json.Unmarshal([]byte(all), &got); err != nil {
		t.Fatal(err)
	}
	for i, test := range tests {
		want := test.want(item)
		want.Raw = json.RawMessage(test.text)
		if !reflect.DeepEqual(got[i], want) {
			t.Errorf("%s: got %+v, want %+v", test.text, got[i], want)
		}
	}
	if out, err := json.Marshal(got); err != nil || !sameJSON(string(out), all) {
		t.Errorf("got %s, %v, want it as it came", out, err)
	}
	payload, err := got[0].Event().Payload()
	if q, ok := payload.(Question); !ok || err != nil || q.Question != "Sure?" || got[0].Event().Seq != 9 {
		t.Errorf("got %+v, %v, want the question", payload, err)
	}
}

func TestPreviewLogs_FreeJSON_Decoded(t *testing.T) {
	for text, want := range map[string][]string{
		`{"lines":["a","b"]}`: {"a", "b"}, `{"lines":[]}`: {}, `{"lines":["a",5,{},null]}`: {"a", "5"}, `{"lines":"a"}`: nil,
		`{"ok":false}`: nil, `["a"]`: nil, `"a"`: nil, ``: nil,
	} {
		if got := newPreviewLogs(json.RawMessage(text)); !slices.Equal(got.Lines, want) || string(got.Raw) != text {
			t.Errorf("%s: got %q, %s, want %q", text, got.Lines, got.Raw, want)
		}
	}
}

func TestPreviews_SandboxRefuses_ResultNotError(t *testing.T) {
	s, _ := scripted(t, nil, reply(200, `{"ok":false,"error":"port taken","exit_code":5}`))
	r, err := s.Previews.Start(t.Context(), sid, PreviewSpec{Cmd: "x"})
	if err != nil || r.OK || r.Error != "port taken" || r.Port != nil {
		t.Errorf("got %+v, %v, want the refusal in the result", r, err)
	}
	b, err := s.Previews.BatchStart(t.Context(), sid, nil)
	if err != nil || b.OK || b.Error != "port taken" {
		t.Errorf("got %+v, %v, want the refusal in the result", b, err)
	}
}
