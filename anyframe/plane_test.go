package anyframe_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/anyframe-relay/relay/anyframe"
	"github.com/anyframe-relay/relay/anyframe/anyframetest"
)

// connect returns a client of a control plane that is closed with the test.
func connect(t *testing.T, opts ...anyframetest.Option) (*anyframe.Client, *anyframetest.Server) {
	t.Helper()
	cp := anyframetest.Start(t, opts...)
	client, err := anyframe.New(anyframe.WithAPIKey(cp.Key()), anyframe.WithBaseURL(cp.URL()), anyframe.WithDotEnv(""))
	if err != nil {
		t.Fatal(err)
	}
	return client, cp
}

// must fails the test on an error.
func must[T any](v T, err error) func(*testing.T) T {
	return func(t *testing.T) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func done(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func wantIs(t *testing.T, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Errorf("got %v, want %v", err, want)
	}
}

var quick = anyframe.WaitOptions{Interval: time.Millisecond}

func TestPlane_Account_Kept(t *testing.T) {
	c, cp := connect(t)
	ctx := t.Context()
	created := must(c.Tokens.Create(ctx, "ci"))(t)
	second := must(anyframe.New(anyframe.WithAPIKey(created.Secret.Reveal()), anyframe.WithBaseURL(cp.URL()), anyframe.WithDotEnv("")))(t)
	if me := must(second.Me(ctx))(t); me.ID == 0 || me.Login == "" {
		t.Errorf("got %+v, want a user", me)
	}
	if tokens := must(c.Tokens.List(ctx))(t); len(tokens) == 0 || tokens[len(tokens)-1].CreatedAt.IsZero() {
		t.Errorf("got %+v, want the new token", tokens)
	}
	done(t, c.Tokens.Revoke(ctx, created.ID))
	_, err := second.Me(ctx)
	wantIs(t, err, anyframe.ErrUnauthorized)

	done(t, c.Credentials.SetClaude(ctx, anyframe.NewSecret("sk-claude-1234")))
	done(t, c.Credentials.SetCodex(ctx, anyframe.NewSecret("sk-codex-5678")))
	done(t, c.Credentials.SetGitHub(ctx, anyframe.NewSecret("ghp_9012")))
	got := must(c.Credentials.Get(ctx))(t)
	if got.Claude.Last4 != "1234" || got.Codex.Last4 != "5678" || got.GitHub.Last4 != "9012" || got.Codex.UpdatedAt.IsZero() {
		t.Errorf("got %+v, want all three set", got)
	}
	done(t, c.Credentials.ClearClaude(ctx))
	done(t, c.Credentials.ClearCodex(ctx))
	done(t, c.Credentials.ClearGitHub(ctx))
	if got := must(c.Credentials.Get(ctx))(t); *got != (anyframe.Credentials{}) {
		t.Errorf("got %+v, want none set", got)
	}
}

func TestPlane_Connectors_CreatedAndDeleted(t *testing.T) {
	c, cp := connect(t)
	ctx := t.Context()
	p := anyframe.CreateOAuthConnectorParams{MCPURL: "https://mcp.example.com/a", DisplayName: "A"}
	authorize := must(c.Connectors.CreateOAuth(ctx, p))(t)
	_, err := c.Connectors.CreateOAuth(ctx, p)
	wantIs(t, err, anyframe.ErrConflict)
	if !cp.FinishOAuth(authorize.State) {
		t.Error("got no authorization by that state")
	}
	again := must(c.Connectors.Reauthorize(ctx, authorize.ConnectorID))(t)
	if again.ConnectorID != authorize.ConnectorID || again.AuthorizeURL == "" {
		t.Errorf("got %+v, want the same connector", again)
	}
	list := must(c.Connectors.List(ctx))(t)
	if len(list) != 1 || !list[0].DefaultEnabled || !list[0].AuthKind.Known() || list[0].CreatedAt.IsZero() {
		t.Errorf("got %+v, want the connector", list)
	}
	toggle := must(c.Agents.Connectors.Set(ctx, cp.AgentID(), authorize.ConnectorID, false))(t)
	if toggles := must(c.Agents.Connectors.List(ctx, cp.AgentID()))(t); len(toggles) != 1 || toggles[0] != *toggle || toggle.Enabled {
		t.Errorf("got %+v, want it off", toggles)
	}
	done(t, c.Connectors.Delete(ctx, authorize.ConnectorID))
	wantIs(t, c.Connectors.Delete(ctx, authorize.ConnectorID), anyframe.ErrNotFound)
	_, err = c.Connectors.InstallCatalogOAuth(ctx, "google-drive") // coming soon
	wantIs(t, err, anyframe.ErrInvalid)
	_, err = c.Connectors.InstallCatalogOAuth(ctx, "no-such-thing")
	wantIs(t, err, anyframe.ErrNotFound)
}

func TestPlane_AgentParts_Managed(t *testing.T) {
	c, _ := connect(t)
	ctx := t.Context()
	agent := must(c.Agents.Create(ctx, anyframe.CreateAgentParams{Name: "a", PreviewPorts: []int{}, EnvVars: anyframe.EnvVars{"A": "b"}}))(t)
	skill := must(c.Agents.Skills.Create(ctx, agent.ID, anyframe.CreateSkillParams{
		Name: "s", Source: anyframe.SkillGit, Content: map[string]any{"url": "u"},
	}))(t)
	mcp := must(c.Agents.MCPs.Create(ctx, agent.ID, anyframe.CreateMCPParams{
		Name: "m", Transport: anyframe.TransportHTTP, Config: map[string]any{"url": "https://x"}, SecretRef: new("ref"),
	}))(t)
	mcp = must(c.Agents.MCPs.Update(ctx, agent.ID, mcp.ID, anyframe.UpdateMCPParams{Enabled: new(false)}))(t)
	detail := must(c.Agents.Get(ctx, agent.ID))(t)
	if detail.Name != "a" || len(detail.Skills) != 1 || detail.Skills[0].Source != anyframe.SkillGit || !detail.Skills[0].Enabled ||
		len(detail.MCPs) != 1 || detail.MCPs[0].SecretRef != "ref" || detail.MCPs[0].Enabled || detail.EnvVars["A"] == "b" {
		t.Errorf("got %+v, want its parts", detail)
	}
	if skills := must(c.Agents.Skills.List(ctx, agent.ID))(t); len(skills) != 1 || skills[0].ID != skill.ID {
		t.Errorf("got %+v, want the skill", skills)
	}
	done(t, c.Agents.MCPs.Delete(ctx, agent.ID, mcp.ID))
	if agents := must(c.Agents.List(ctx))(t); len(agents) != 2 {
		t.Errorf("got %d agents, want 2", len(agents))
	}
	_, err := c.Agents.Create(ctx, anyframe.CreateAgentParams{Name: "a", EnvVars: anyframe.EnvVars{"lower case": "secret-value"}})
	wantIs(t, err, anyframe.ErrInvalid)
	if e, ok := errors.AsType[*anyframe.Error](err); !ok || e.StatusCode != 422 || len(e.Fields) != 1 || len(e.Fields[0].Loc) == 0 || e.Attempts != 1 {
		t.Errorf("got %+v, want a 422 that names the field", err)
	}
}

func TestPlane_ForcedBuild_DistinctFromPrevious(t *testing.T) {
	c, cp := connect(t, anyframetest.WithBuildDelay(40*time.Millisecond))
	ctx := t.Context()
	agent := must(c.Agents.Create(ctx, anyframe.CreateAgentParams{Name: "a"}))(t)
	first := must(c.Agents.BuildAndWait(ctx, agent.ID, anyframe.BuildParams{}, quick))(t)
	cached := must(c.Agents.Build(ctx, agent.ID, anyframe.BuildParams{}))(t)
	if cached.Queued || cached.Reason == "" {
		t.Errorf("got %+v, want nothing queued", cached)
	}
	if again := must(c.Agents.BuildAndWait(ctx, agent.ID, anyframe.BuildParams{}, quick))(t); again.BuiltImageID != first.BuiltImageID {
		t.Errorf("got %+v, want the image there is", again)
	}
	cp.FailBuilds(1)
	_, err := c.Agents.BuildAndWait(ctx, agent.ID, anyframe.BuildParams{Force: true}, quick)
	if _, failed := errors.AsType[*anyframe.BuildFailedError](err); !failed {
		t.Errorf("got %v, want the failure of the new build", err)
	}
	second := must(c.Agents.BuildAndWait(ctx, agent.ID, anyframe.BuildParams{Force: true}, quick))(t)
	if second.BuiltImageID == first.BuiltImageID || second.FinishedAt.Equal(first.FinishedAt.Time) {
		t.Errorf("got %+v, want another image than %+v", second, first)
	}
	if builds := must(c.Agents.Builds(ctx, agent.ID, 0))(t); len(builds) != 3 || builds[1].State != anyframe.BuildStateFailed || builds[0].LogSize == nil {
		t.Errorf("got %+v, want three builds, the newest first", builds)
	}
}

func TestPlane_Sessions_CreatedAndDeleted(t *testing.T) {
	c, cp := connect(t)
	ctx := t.Context()
	session := must(c.Sessions.Create(ctx, anyframe.CreateSessionParams{AgentID: cp.AgentID()}))(t)
	must(c.Sessions.WaitUntilRunning(ctx, session.ID, quick))(t)
	_, err := c.Sessions.SaveAsBase(ctx, session.ID) // not a setup session
	wantIs(t, err, anyframe.ErrInvalid)
	wantIs(t, c.Sessions.Delete(ctx, session.ID), anyframe.ErrConflict) // it is running

	batch := must(c.Sessions.Previews.BatchStart(ctx, session.ID, []anyframe.PreviewSpec{{Cmd: "a", Name: new("a")}, {Cmd: "b"}}))(t)
	if !batch.OK || len(batch.Previews) != 2 {
		t.Errorf("got %+v, want two previews", batch)
	}
	must(c.Sessions.EnsureRunning(ctx, session.ID, quick))(t)
	list := must(c.Sessions.Previews.List(ctx, session.ID))(t)
	status := must(c.Sessions.Previews.Status(ctx, session.ID, anyframe.PreviewRef{Name: new("a")}))(t)
	if len(list) != 2 || list[0].Cmd == "" || !status.OK || !status.Status.Known() {
		t.Errorf("got %+v, %+v, want the previews", list, status)
	}
	if r := must(c.Sessions.Previews.Status(ctx, session.ID, anyframe.PreviewRef{Port: new(1)}))(t); r.OK || r.Error == "" {
		t.Errorf("got %+v, want a refusal that is no error", r)
	}

	must(c.Sessions.Terminate(ctx, session.ID))(t)
	_, err = c.Sessions.WaitUntilRunning(ctx, session.ID, quick)
	if _, stopped := errors.AsType[*anyframe.SessionStateError](err); !stopped {
		t.Errorf("got %v, want a SessionStateError", err)
	}
	done(t, c.Sessions.Delete(ctx, session.ID))
	_, err = c.Sessions.Get(ctx, session.ID)
	wantIs(t, err, anyframe.ErrNotFound)
	if sessions := must(c.Sessions.List(ctx))(t); len(sessions) != 0 {
		t.Errorf("got %+v, want none", sessions)
	}
}

func TestPlane_Turns_InOrder(t *testing.T) {
	c, cp := connect(t, anyframetest.WithAgent(7, func(c *anyframetest.Chat) {
		if c.Prompt() == "fail" {
			c.Fail("boom")
			return
		}
		c.Say("First " + c.Prompt() + ".")
		c.Tool("Bash", nil)
		c.Say("Then " + c.Prompt() + ".")
	}))
	ctx := t.Context()
	session := must(c.Sessions.Create(ctx, anyframe.CreateSessionParams{AgentID: 7}))(t)
	must(c.Sessions.WaitUntilRunning(ctx, session.ID, quick))(t)
	for _, prompt := range []string{"one", "fail", "two"} {
		var reply anyframe.Reply
		failed := false
		for e, err := range c.Sessions.Turn(ctx, session.ID, anyframe.Message{Prompt: prompt}, anyframe.StreamOptions{}) {
			if err != nil {
				t.Fatal(err)
			}
			reply.Add(e)
			if e.Type() == anyframe.TypeFailure {
				failed = true
			}
			if e.Type() == anyframe.TypeAssistant && prompt == "two" {
				cp.CutStreams() // at every step, without a visible effect
			}
		}
		want := "First " + prompt + ".\n\nThen " + prompt + "."
		if prompt == "fail" {
			want = ""
		}
		if reply.String() != want || failed != (prompt == "fail") {
			t.Errorf("%s: got %q, failed %v, want %q", prompt, reply.String(), failed, want)
		}
	}
}

func TestPlane_Prompts_Answered(t *testing.T) {
	c, cp := connect(t, anyframetest.WithAgent(7, func(c *anyframetest.Chat) {
		c.Say("It is " + c.Ask("Which?", "red", "green") + ".")
	}))
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	session := must(c.Sessions.Create(ctx, anyframe.CreateSessionParams{AgentID: 7}))(t)
	must(c.Sessions.WaitUntilRunning(ctx, session.ID, quick))(t)
	var reply anyframe.Reply
	for e, err := range c.Sessions.Turn(ctx, session.ID, anyframe.Message{Prompt: "?"}, anyframe.StreamOptions{}) {
		if err != nil {
			t.Fatal(err)
		}
		reply.Add(e)
		if e.Type() != anyframe.TypeQuestion {
			continue
		}
		items := must(c.Attention.List(ctx, 5))(t)
		if len(items) != 1 || items[0].Kind != anyframe.AttentionPending || items[0].SessionID != session.ID || items[0].Event().Type() != anyframe.TypeQuestion {
			t.Fatalf("got %+v, want the question", items)
		}
		cp.Answer(session.ID, "green")
	}
	if reply.String() != "It is green." {
		t.Errorf("got %q, want the answer taken", reply.String())
	}
}

func TestPlane_FailedBoot_GivesReason(t *testing.T) {
	c, cp := connect(t)
	cp.FailBoots(1)
	made := must(c.Sessions.Create(t.Context(), anyframe.CreateSessionParams{AgentID: cp.AgentID()}))(t)
	_, err := c.Sessions.WaitUntilRunning(t.Context(), made.ID, quick)
	if want := "anyframe: session " + made.ID + " is error: The scripted sandbox did not start"; err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
}
