package anyframe_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/anyframe-relay/relay/anyframe"
	"github.com/anyframe-relay/relay/anyframe/anyframetest"
)

// Create, change and delete an agent. An update does not change nil fields; new("")
// empties a field.
func ExampleAgentsService() {
	ctx := context.Background()
	client, _, stop := plane(nil)
	defer stop()

	agent, err := client.Agents.Create(ctx, anyframe.CreateAgentParams{
		Name:         "triage",
		SystemPrompt: new("You are a careful, terse engineer."),
		RepoURL:      new("tinyhq/box"),
		InstallCmd:   new("bun install"),
		PreviewPorts: []int{3000},
		Permissions:  map[string]any{"preset": anyframe.PermissionsStandard},
		EnvVars:      anyframe.EnvVars{"LOG_LEVEL": "debug"},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	detail, err := client.Agents.Update(ctx, agent.ID, anyframe.UpdateAgentParams{SystemPrompt: new("Be brief.")})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(detail.Name, detail.SystemPrompt, detail.Runtime, detail.EnvVars)
	if err := client.Agents.Delete(ctx, agent.ID); err != nil {
		fmt.Println(err)
		return
	}
	_, err = client.Agents.Get(ctx, agent.ID)
	fmt.Println(errors.Is(err, anyframe.ErrNotFound))
	// Output:
	// triage Be brief. claude map[LOG_LEVEL:****]
	// true
}

// toBuild creates an agent that has no image yet.
func toBuild(ctx context.Context, client *anyframe.Client) (id int64, err error) {
	agent, err := client.Agents.Create(ctx, anyframe.CreateAgentParams{
		Name: "demo", RepoURL: new("tinyhq/box"), InstallCmd: new("bun install"),
	})
	if err != nil {
		return 0, err
	}
	return agent.ID, nil
}

// BuildAndWait builds the image if needed, and waits for that build.
func ExampleAgentsService_BuildAndWait() {
	ctx := context.Background()
	client, cp, stop := plane(nil)
	defer stop()
	id, err := toBuild(ctx, client)
	if err != nil {
		fmt.Println(err)
		return
	}
	status, err := client.Agents.BuildAndWait(ctx, id, anyframe.BuildParams{}, anyframe.WaitOptions{
		Timeout: 10 * time.Minute,
		OnPoll:  func(status string, _ time.Duration) { fmt.Println("it is", status) },
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(status.State, status.BuiltImageID != "")

	cp.FailBuilds(1)
	_, err = client.Agents.BuildAndWait(ctx, id, anyframe.BuildParams{Force: true}, anyframe.WaitOptions{})
	if failed, ok := errors.AsType[*anyframe.BuildFailedError](err); ok {
		fmt.Println(failed.Status.State, failed.Status.Error)
	}
	// Output:
	// it is succeeded
	// succeeded true
	// failed The install command ended with status 1
}

// WaitForBuild is for a build that another client started.
func ExampleAgentsService_WaitForBuild() {
	ctx := context.Background()
	client, _, stop := plane(nil, anyframetest.WithBuildDelay(10*time.Millisecond))
	defer stop()
	id, err := toBuild(ctx, client)
	if err != nil {
		fmt.Println(err)
		return
	}
	queued, err := client.Agents.Build(ctx, id, anyframe.BuildParams{})
	if err != nil {
		fmt.Println(err)
		return
	}
	if !queued.Queued {
		fmt.Println(queued.Reason)
		return
	}
	status, err := client.Agents.WaitForBuild(ctx, id, anyframe.WaitOptions{Interval: time.Millisecond})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(status.State)
	// Output: succeeded
}

// StreamBuild yields the log of a build while it is written.
func ExampleAgentsService_StreamBuild() {
	ctx := context.Background()
	client, _, stop := plane(nil, anyframetest.WithBuildLog("Cloning tinyhq/box", "Running bun install"))
	defer stop()
	id, err := toBuild(ctx, client)
	if err != nil {
		fmt.Println(err)
		return
	}
	queued, err := client.Agents.Build(ctx, id, anyframe.BuildParams{})
	if err != nil {
		fmt.Println(err)
		return
	}
	for event, err := range client.Agents.StreamBuild(ctx, id, *queued.BuildID, anyframe.StreamOptions{}) {
		switch {
		case err != nil:
			fmt.Println(err)
		case event.State != "":
			fmt.Println("now", event.State)
		default:
			fmt.Println(event.Text)
		}
	}
	// Output:
	// Cloning tinyhq/box
	// Running bun install
	// now succeeded
}

// The builds of an agent, and the URL of a build's log.
func ExampleAgentsService_Builds() {
	ctx := context.Background()
	client, _, stop := plane(nil)
	defer stop()
	id, err := toBuild(ctx, client)
	if err != nil {
		fmt.Println(err)
		return
	}
	if _, err := client.Agents.BuildAndWait(ctx, id, anyframe.BuildParams{}, anyframe.WaitOptions{}); err != nil {
		fmt.Println(err)
		return
	}
	builds, err := client.Agents.Builds(ctx, id, 5)
	if err != nil {
		fmt.Println(err)
		return
	}
	log, err := client.Agents.BuildLogURL(ctx, id, builds[0].ID)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(builds[0].State, log.URL != "", log.ExpiresIn > 0)
	// Output: succeeded true true
}

// Skills of an agent.
func ExampleSkillsService() {
	ctx := context.Background()
	client, _, stop := plane(nil)
	defer stop()
	skills := client.Agents.Skills

	skill, err := skills.Create(ctx, 7, anyframe.CreateSkillParams{
		Name: "repo-tour", Source: anyframe.SkillInline, Content: map[string]any{"markdown": "# Tour\n…"},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	if skill, err = skills.Update(ctx, 7, skill.ID, anyframe.UpdateSkillParams{Enabled: new(false)}); err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(skill.Name, skill.Enabled, string(skill.Content))
	if err := skills.Delete(ctx, 7, skill.ID); err != nil {
		fmt.Println(err)
	}
	// Output: repo-tour false {"markdown":"# Tour\n…"}
}

// MCP servers of a single agent.
func ExampleMCPsService() {
	ctx := context.Background()
	client, _, stop := plane(nil)
	defer stop()

	_, err := client.Agents.MCPs.Create(ctx, 7, anyframe.CreateMCPParams{
		Name: "files", Transport: anyframe.TransportStdio,
		Config: map[string]any{"command": "npx", "args": []string{"@modelcontextprotocol/server-filesystem", "/work"}},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	mcps, err := client.Agents.MCPs.List(ctx, 7)
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, mcp := range mcps {
		fmt.Println(mcp.Name, mcp.Transport, mcp.Enabled)
	}
	// Output: files stdio true
}
