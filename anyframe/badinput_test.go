package anyframe

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"
)

func TestIDs_Invalid_RefusedBeforeRequest(t *testing.T) {
	transport := newScript(reply(200, "{}"))
	c := newClient(t, WithHTTPClient(&http.Client{Transport: transport}))
	byNumber := map[string][]func(context.Context, int64) error{
		"agent_id": {
			func(ctx context.Context, id int64) error { return value(c.Agents.Get(ctx, id)) },
			func(ctx context.Context, id int64) error { return value(c.Agents.Update(ctx, id, UpdateAgentParams{})) },
			func(ctx context.Context, id int64) error { return c.Agents.Delete(ctx, id) },
			func(ctx context.Context, id int64) error { return value(c.Agents.Build(ctx, id, BuildParams{})) },
			func(ctx context.Context, id int64) error { return value(c.Agents.BuildStatus(ctx, id)) },
			func(ctx context.Context, id int64) error { return value(c.Agents.Builds(ctx, id, 0)) },
			func(ctx context.Context, id int64) error { return value(c.Agents.BuildLogURL(ctx, id, 1)) },
			func(ctx context.Context, id int64) error {
				return last(c.Agents.StreamBuild(ctx, id, 1, StreamOptions{}))
			},
			func(ctx context.Context, id int64) error { return value(c.Agents.WaitForBuild(ctx, id, WaitOptions{})) },
			func(ctx context.Context, id int64) error {
				return value(c.Agents.BuildAndWait(ctx, id, BuildParams{}, WaitOptions{}))
			},
			func(ctx context.Context, id int64) error { return value(c.Agents.Skills.List(ctx, id)) },
			func(ctx context.Context, id int64) error {
				return value(c.Agents.Skills.Create(ctx, id, CreateSkillParams{}))
			},
			func(ctx context.Context, id int64) error {
				return value(c.Agents.Skills.Update(ctx, id, 1, UpdateSkillParams{}))
			},
			func(ctx context.Context, id int64) error { return c.Agents.Skills.Delete(ctx, id, 1) },
			func(ctx context.Context, id int64) error { return value(c.Agents.MCPs.List(ctx, id)) },
			func(ctx context.Context, id int64) error {
				return value(c.Agents.MCPs.Create(ctx, id, CreateMCPParams{}))
			},
			func(ctx context.Context, id int64) error {
				return value(c.Agents.MCPs.Update(ctx, id, 1, UpdateMCPParams{}))
			},
			func(ctx context.Context, id int64) error { return c.Agents.MCPs.Delete(ctx, id, 1) },
			func(ctx context.Context, id int64) error { return value(c.Agents.Connectors.List(ctx, id)) },
			func(ctx context.Context, id int64) error { return value(c.Agents.Connectors.Set(ctx, id, 1, true)) },
			func(ctx context.Context, id int64) error {
				return value(c.Sessions.Create(ctx, CreateSessionParams{AgentID: id}))
			},
		},
		"build_id": {
			func(ctx context.Context, id int64) error { return value(c.Agents.BuildLogURL(ctx, 1, id)) },
			func(ctx context.Context, id int64) error {
				return last(c.Agents.StreamBuild(ctx, 1, id, StreamOptions{}))
			},
		},
		"skill_id": {
			func(ctx context.Context, id int64) error {
				return value(c.Agents.Skills.Update(ctx, 1, id, UpdateSkillParams{}))
			},
			func(ctx context.Context, id int64) error { return c.Agents.Skills.Delete(ctx, 1, id) },
		},
		"mcp_id": {
			func(ctx context.Context, id int64) error {
				return value(c.Agents.MCPs.Update(ctx, 1, id, UpdateMCPParams{}))
			},
			func(ctx context.Context, id int64) error { return c.Agents.MCPs.Delete(ctx, 1, id) },
		},
		"connector_id": {
			func(ctx context.Context, id int64) error { return value(c.Agents.Connectors.Set(ctx, 1, id, true)) },
			func(ctx context.Context, id int64) error { return value(c.Connectors.Reauthorize(ctx, id)) },
			func(ctx context.Context, id int64) error { return c.Connectors.Delete(ctx, id) },
		},
		"token_id": {func(ctx context.Context, id int64) error { return c.Tokens.Revoke(ctx, id) }},
		"resume_from_snapshot_id": {func(ctx context.Context, id int64) error {
			return value(c.Sessions.Create(ctx, CreateSessionParams{AgentID: 1, ResumeFromSnapshotID: new(id)}))
		}},
	}
	for field, calls := range byNumber {
		for i, call := range calls {
			for _, id := range []int64{0, -1} {
				wantRefused(t, call(t.Context(), id), field, i)
			}
		}
	}
	byName := map[string][]func(context.Context, string) error{
		"slug": {
			func(ctx context.Context, slug string) error {
				return value(c.Connectors.InstallCatalogOAuth(ctx, slug))
			},
			func(ctx context.Context, slug string) error {
				return value(c.Connectors.InstallCatalogBearer(ctx, slug, NewSecret("t")))
			},
		},
		"session_id": {
			func(ctx context.Context, id string) error { return value(c.Sessions.Get(ctx, id)) },
			func(ctx context.Context, id string) error { return value(c.Sessions.Terminate(ctx, id)) },
			func(ctx context.Context, id string) error { return c.Sessions.Delete(ctx, id) },
			func(ctx context.Context, id string) error {
				return value(c.Sessions.Resume(ctx, id, ResumeSessionParams{}))
			},
			func(ctx context.Context, id string) error { return value(c.Sessions.Snapshots(ctx, id)) },
			func(ctx context.Context, id string) error { return value(c.Sessions.SaveAsBase(ctx, id)) },
			func(ctx context.Context, id string) error { return value(c.Sessions.Message(ctx, id, Message{})) },
			func(ctx context.Context, id string) error { return value(c.Sessions.MessageRaw(ctx, id, nil)) },
			func(ctx context.Context, id string) error { return value(c.Sessions.Respond(ctx, id, nil)) },
			func(ctx context.Context, id string) error { return value(c.Sessions.Transcript(ctx, id, 0, 0)) },
			func(ctx context.Context, id string) error { return last(c.Sessions.TranscriptAll(ctx, id, 0)) },
			func(ctx context.Context, id string) error { return last(c.Sessions.Events(ctx, id, StreamOptions{})) },
			func(ctx context.Context, id string) error { return last(c.Sessions.Follow(ctx, id, StreamOptions{})) },
			func(ctx context.Context, id string) error {
				return last(c.Sessions.Turn(ctx, id, Message{}, StreamOptions{}))
			},
			func(ctx context.Context, id string) error {
				return value(c.Sessions.WaitUntilRunning(ctx, id, WaitOptions{}))
			},
			func(ctx context.Context, id string) error {
				return value(c.Sessions.EnsureRunning(ctx, id, WaitOptions{}))
			},
			func(ctx context.Context, id string) error { return value(c.Sessions.Previews.List(ctx, id)) },
			func(ctx context.Context, id string) error {
				return value(c.Sessions.Previews.Start(ctx, id, PreviewSpec{}))
			},
			func(ctx context.Context, id string) error {
				return value(c.Sessions.Previews.Stop(ctx, id, PreviewRef{}))
			},
			func(ctx context.Context, id string) error {
				return value(c.Sessions.Previews.Status(ctx, id, PreviewRef{}))
			},
			func(ctx context.Context, id string) error {
				return value(c.Sessions.Previews.Logs(ctx, id, PreviewRef{}, 0))
			},
			func(ctx context.Context, id string) error { return value(c.Sessions.Previews.BatchStart(ctx, id, nil)) },
		},
	}
	for field, calls := range byName {
		for i, call := range calls {
			for _, id := range []string{
				"", " ", "\t\n", ".", "..", "../x", "a/../b", "a/b", `a\b`, "a?b", "a#b", "%2e%2e", "a b", "a\nb", "a\x00b", "ü", "\xff", "\x7f",
			} {
				wantRefused(t, call(t.Context(), id), field, i)
			}
		}
	}
	if n := transport.count(); n != 0 {
		t.Errorf("got %d requests, want none", n)
	}
}

// wantRefused checks that err refuses the argument called field, and names it.
func wantRefused(t *testing.T, err error, field string, which any) {
	t.Helper()
	e, ok := errors.AsType[*Error](err)
	if !ok || !errors.Is(err, ErrInvalid) || e.Sent() || e.StatusCode != 0 || e.Attempts != 0 {
		t.Errorf("%s, call %v: got %v, want ErrInvalid, not sent", field, which, err)
		return
	}
	if !strings.Contains(err.Error(), field) || len(e.Fields) != 1 || e.Fields[0].Loc[1] != field {
		t.Errorf("%s, call %v: got %v, %v, want the field named", field, which, err, e.Fields)
	}
}

func TestParams_MissingMember_RefusedBeforeRequest(t *testing.T) {
	transport := newScript(reply(200, "{}"))
	c := newClient(t, WithHTTPClient(&http.Client{Transport: transport}))
	ctx, empty := t.Context(), map[string]any{}
	for _, test := range []struct {
		field string
		err   error
	}{
		{"name", value(c.Tokens.Create(ctx, ""))},
		{"token", c.Credentials.SetClaude(ctx, Secret{})},
		{"token", c.Credentials.SetCodex(ctx, Secret{})},
		{"token", c.Credentials.SetGitHub(ctx, Secret{})},
		{"mcp_url", value(c.Connectors.Discover(ctx, ""))},
		{"mcp_url", value(c.Connectors.CreateOAuth(ctx, CreateOAuthConnectorParams{DisplayName: "n"}))},
		{"display_name", value(c.Connectors.CreateOAuth(ctx, CreateOAuthConnectorParams{MCPURL: "u"}))},
		{"mcp_url", value(c.Connectors.CreateBearer(ctx, CreateBearerConnectorParams{DisplayName: "n", Token: NewSecret("t")}))},
		{"display_name", value(c.Connectors.CreateBearer(ctx, CreateBearerConnectorParams{MCPURL: "u", Token: NewSecret("t")}))},
		{"token", value(c.Connectors.CreateBearer(ctx, CreateBearerConnectorParams{MCPURL: "u", DisplayName: "n"}))},
		{"token", value(c.Connectors.InstallCatalogBearer(ctx, "linear", Secret{}))},
		{"name", value(c.Agents.Create(ctx, CreateAgentParams{}))},
		{"name", value(c.Agents.Skills.Create(ctx, 1, CreateSkillParams{Source: SkillInline, Content: empty}))},
		{"source", value(c.Agents.Skills.Create(ctx, 1, CreateSkillParams{Name: "n", Content: empty}))},
		{"content", value(c.Agents.Skills.Create(ctx, 1, CreateSkillParams{Name: "n", Source: SkillInline}))},
		{"name", value(c.Agents.MCPs.Create(ctx, 1, CreateMCPParams{Transport: TransportSSE, Config: empty}))},
		{"transport", value(c.Agents.MCPs.Create(ctx, 1, CreateMCPParams{Name: "n", Config: empty}))},
		{"config", value(c.Agents.MCPs.Create(ctx, 1, CreateMCPParams{Name: "n", Transport: TransportSSE}))},
		{"agent_id", value(c.Sessions.Create(ctx, CreateSessionParams{}))},
		{"cmd", value(c.Sessions.Previews.Start(ctx, sid, PreviewSpec{Port: new(1)}))},
		{"previews[1].cmd", value(c.Sessions.Previews.BatchStart(ctx, sid, []PreviewSpec{{Cmd: "x"}, {}}))},
	} {
		wantRefused(t, test.err, test.field, "of the table")
	}
	if n := transport.count(); n != 0 {
		t.Errorf("got %d requests, want none", n)
	}
}

func TestBody_NotEncodable_RefusedBeforeRequest(t *testing.T) {
	transport := newScript(reply(200, "{}"))
	c := newClient(t, WithHTTPClient(&http.Client{Transport: transport}))
	odd := map[string]any{"f": func() {}}
	for _, err := range []error{
		value(c.Agents.Create(t.Context(), CreateAgentParams{Name: "n", Permissions: odd})),
		value(c.Agents.Skills.Create(t.Context(), 1, CreateSkillParams{Name: "n", Source: SkillInline, Content: odd})),
		value(c.Agents.MCPs.Update(t.Context(), 1, 1, UpdateMCPParams{Config: odd})),
		value(c.Sessions.Respond(t.Context(), sid, odd)),
	} {
		if e, ok := errors.AsType[*Error](err); !ok || !errors.Is(err, ErrInvalid) || e.Sent() {
			t.Errorf("got %v, want ErrInvalid, not sent", err)
		}
	}
	if n := transport.count(); n != 0 {
		t.Errorf("got %d requests, want none", n)
	}
}

func TestResponse_Malformed_ErrorWithFirstBytes(t *testing.T) {
	long := `<html>` + strings.Repeat("x", maxErrorBody)
	for _, o := range operations() {
		if strings.Contains(o.name, "Events") || strings.Contains(o.name, "Stream") {
			continue
		}
		for _, body := range []string{"<html>", `{"id":`, `[{"id":`, `5`, `"text"`, `{"id":{}}{`, long} {
			c := newClient(t, WithHTTPClient(&http.Client{Transport: newScript(reply(200, body))}))
			err := o.call(t.Context(), c)
			if err == nil {
				continue // a response that is not decoded, or that may be any JSON
			}
			e, ok := errors.AsType[*Error](err)
			if !ok || !errors.Is(err, ErrInvalidResponse) || e.StatusCode != 200 || !strings.HasPrefix(body, string(e.Body)) || len(e.Body) == 0 {
				t.Errorf("%s, %.10s: got %v, want ErrInvalidResponse with the body's beginning", o.name, body, err)
			}
			if len(e.Body) > maxErrorBody || len(e.Error()) > 500 {
				t.Errorf("%s, %.10s: got a body of %d bytes, want it bounded", o.name, body, len(e.Body))
			}
		}
	}
	c := newClient(t, WithHTTPClient(&http.Client{Transport: newScript(reply(200, `[{"id":"x"}]`))}))
	if _, err := c.Agents.List(t.Context()); !errors.Is(err, ErrInvalidResponse) {
		t.Errorf("got %v, want ErrInvalidResponse", err)
	}
}

func TestResponse_NoValue_EmptyResult(t *testing.T) {
	for _, o := range operations() {
		for _, answer := range []func(*http.Request) (*http.Response, error){reply(204, ""), reply(200, ""), reply(200, " \n")} {
			c := newClient(t, WithHTTPClient(&http.Client{Transport: newScript(answer)}))
			err := o.call(t.Context(), c)
			method := o.method()
			switch {
			case strings.HasSuffix(method, "Events"), strings.HasSuffix(method, "StreamBuild"):
				if !errors.Is(err, ErrStreamEnded) && !errors.Is(err, ErrNotEventStream) {
					t.Errorf("%s: got %v, want no event stream", o.name, err)
				}
			case strings.Contains(method, "Delete"), strings.Contains(method, "Clear"), strings.Contains(method, "Credentials.Set"),
				method == "Tokens.Revoke", strings.HasSuffix(method, "Message"), method == "Sessions.Respond", strings.HasSuffix(method, "Logs"):
				if err != nil {
					t.Errorf("%s: got %v, want success", o.name, err)
				}
			default:
				if !errors.Is(err, ErrInvalidResponse) {
					t.Errorf("%s: got %v, want ErrInvalidResponse", o.name, err)
				}
			}
		}
	}
}
