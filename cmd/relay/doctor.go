package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"time"

	"github.com/anyframe-relay/relay/anyframe"
	"github.com/anyframe-relay/relay/relay/store"
)

// The results of a check.
const (
	resultOK        = "ok"
	resultFinding   = "finding"   // something to mend
	resultUnchecked = "unchecked" // not known, and why
)

// finding is what one check came to.
type finding struct {
	Check  string `json:"check"`
	Result string `json:"result"`
	Says   string `json:"says"`
	Do     string `json:"do,omitempty"` // what to do about a finding
}

// doctor examines a deployment, one check after the other.
type doctor struct {
	settings  *settings
	strangers []string      // names like those of settings
	patience  time.Duration // for each question, and for a stream's first bytes
	findings  []finding
}

// diagnose is relay doctor.
func diagnose(ctx context.Context, asJSON bool, lookup func(string) (string, bool), stdout, stderr io.Writer) int {
	s := defaults()
	env, envErr := readEnvironment(lookup, ".env")
	readErr := env.read(s)
	d := &doctor{settings: s, strangers: env.strangers(os.Environ()), patience: 10 * time.Second}
	d.examine(ctx, problems(envErr, readErr, s.relay.Validate()))
	ok := true
	for _, f := range d.findings {
		ok = ok && f.Result != resultFinding
	}
	if err := d.print(stdout, ok, asJSON); err != nil {
		fmt.Fprintln(stderr, "relay:", err)
		return exitError
	}
	if !ok {
		return exitError
	}
	return exitOK
}

func (d *doctor) print(w io.Writer, ok, asJSON bool) error {
	if asJSON {
		out := json.NewEncoder(w)
		out.SetIndent("", "  ")
		out.SetEscapeHTML(false)
		return out.Encode(struct {
			OK     bool      `json:"ok"`
			Checks []finding `json:"checks"`
		}{ok, d.findings})
	}
	var b strings.Builder
	for _, f := range d.findings {
		mark := map[string]string{resultOK: "ok", resultFinding: "FINDING", resultUnchecked: "?"}[f.Result]
		fmt.Fprintf(&b, "%-8s  %-11s %s\n", mark, f.Check, f.Says)
		if f.Do != "" {
			fmt.Fprintf(&b, "%-8s  %-11s → %s\n", "", "", f.Do)
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func (d *doctor) ok(check, format string, args ...any) {
	d.findings = append(d.findings, finding{Check: check, Result: resultOK, Says: fmt.Sprintf(format, args...)})
}

func (d *doctor) unchecked(check, format string, args ...any) {
	d.findings = append(d.findings, finding{Check: check, Result: resultUnchecked, Says: fmt.Sprintf(format, args...)})
}

func (d *doctor) finding(check, do, format string, args ...any) {
	d.findings = append(d.findings, finding{check, resultFinding, fmt.Sprintf(format, args...), do})
}

// examine makes every check. Wrong is what is wrong with the settings.
func (d *doctor) examine(ctx context.Context, wrong []string) {
	for _, line := range wrong {
		d.finding("settings", "mend it in the environment or in .env; relay help lists every setting", "%s", line)
	}
	if len(wrong) == 0 {
		d.ok("settings", "all can be read")
	}
	if len(d.strangers) > 0 { // perhaps somebody else's, such as those that Kubernetes makes of a service's name
		d.unchecked("settings", "not the relay's, or misspelt: %s", strings.Join(d.strangers, ", "))
	}
	d.anyframe(ctx)
	d.store(ctx)
	d.public(ctx)
}

// anyframe checks the key, the agent and its image, each if the one before is
// good.
func (d *doctor) anyframe(ctx context.Context) {
	c := d.settings.relay
	if c.APIKey == "" {
		d.unchecked("key", "there is none")
		d.without("there is no key")
		return
	}
	client, err := anyframe.New(
		anyframe.WithAPIKey(string(c.APIKey)), anyframe.WithBaseURL(c.BaseURL), anyframe.WithDotEnv(""),
		anyframe.WithTimeout(d.patience), anyframe.WithRetry(anyframe.RetryPolicy{MaxRetries: -1}),
		anyframe.WithUserAgent("anyframe-relay"), anyframe.WithLogger(slog.New(slog.DiscardHandler)),
	)
	if err != nil {
		d.unchecked("key", "ANYFRAME_BASE_URL leads nowhere")
		d.without("the key could not be tried")
		return
	}
	me, err := client.Me(ctx)
	if errors.Is(err, anyframe.ErrUnauthorized) || errors.Is(err, anyframe.ErrForbidden) {
		d.finding("key", "make a new key on the AnyFrame dashboard, set ANYFRAME_API_KEY to it and restart the relay", "AnyFrame refuses it: %v", err)
		d.without("the key is not good")
		return
	}
	if err != nil {
		d.upstream("key", err)
		d.without("AnyFrame could not be asked")
		return
	}
	d.ok("key", "AnyFrame knows it as %s's", me.Login)
	d.agent(ctx, client)
}

func (d *doctor) without(reason string) {
	d.unchecked("agent", "%s", reason)
	d.unchecked("image", "%s", reason)
}

// upstream reports that AnyFrame could not be asked.
func (d *doctor) upstream(check string, err error) {
	if e, ok := errors.AsType[*anyframe.Error](err); ok && e.StatusCode >= 500 {
		d.finding(check, "wait, and try again; visitors are told upstream_unavailable meanwhile", "AnyFrame cannot answer: %v", err)
		return
	}
	do := "see that this machine reaches AnyFrame: name service, firewall, HTTPS_PROXY, ANYFRAME_BASE_URL"
	if e, ok := errors.AsType[*anyframe.Error](err); ok && e.Elsewhere() != "" {
		do = "AnyFrame is changing its domain: try ANYFRAME_BASE_URL=" + e.Elsewhere() + "; if that fails too, " + do
	}
	d.finding(check, do, "AnyFrame cannot be asked: %v", err)
}

func (d *doctor) agent(ctx context.Context, client *anyframe.Client) {
	id := d.settings.relay.AgentID
	if id <= 0 {
		d.without("ANYFRAME_AGENT_ID is not set; " + known(ctx, client))
		return
	}
	agent, err := client.Agents.Get(ctx, id)
	if errors.Is(err, anyframe.ErrNotFound) {
		d.finding("agent", "set ANYFRAME_AGENT_ID; "+known(ctx, client), "the key's account has no agent %d", id)
		d.unchecked("image", "there is no agent")
		return
	}
	if err != nil {
		d.upstream("agent", err)
		d.unchecked("image", "AnyFrame could not be asked")
		return
	}
	d.ok("agent", "%d is %q", id, agent.Name)
	d.image(ctx, client, agent)
}

// known lists agents to choose from.
func known(ctx context.Context, client *anyframe.Client) string {
	agents, err := client.Agents.List(ctx)
	switch {
	case err != nil:
		return "the account's agents could not be listed"
	case len(agents) == 0:
		return "the account has no agent yet, make one on the AnyFrame dashboard"
	}
	var names []string
	for _, a := range agents[:min(len(agents), 10)] {
		names = append(names, fmt.Sprintf("%d (%s)", a.ID, a.Name))
	}
	return "the account has " + strings.Join(names, ", ")
}

// image checks that sandboxes have something to boot from.
func (d *doctor) image(ctx context.Context, client *anyframe.Client, agent *anyframe.AgentDetail) {
	const build = "build the agent on the AnyFrame dashboard and wait until that has succeeded"
	switch {
	case agent.Image != nil && agent.BuildKey != "" && agent.Image.BuildKey != agent.BuildKey:
		d.finding("image", build, "it is older than the agent's settings")
		return
	case agent.Image != nil:
		d.ok("image", "built on %s", agent.Image.BuiltAt.UTC().Format(time.DateOnly))
		return
	case agent.WarmupImageID != "":
		d.ok("image", "saved from a setup session")
		return
	}
	status, err := client.Agents.BuildStatus(ctx, agent.ID)
	switch {
	case err != nil:
		d.upstream("image", err)
	case status.BuiltImageID != "":
		d.ok("image", "built")
	case status.State == anyframe.BuildStateQueued, status.State == anyframe.BuildStateRunning:
		d.finding("image", "wait until the build is done", "it is being built")
	case status.State == anyframe.BuildStateFailed:
		d.finding("image", "read the build's log on the AnyFrame dashboard, mend what it says and build again", "its build failed: %s", status.Error)
	case status.State == "":
		d.finding("image", build, "the agent was never built, so no sandbox can boot")
	default:
		d.finding("image", build, "there is none; the last build's state is %s", status.State)
	}
}

func (d *doctor) store(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, d.patience)
	defer cancel()
	note, err := store.Check(ctx, d.settings.relay.Store, store.WithRedisPrefix(d.settings.relay.RedisPrefix))
	switch {
	case err != nil:
		d.finding("store", "see that RELAY_STORE names what the relay's user may write to; a file needs a writable folder on a local disk", "%v", err)
	case note != "":
		d.ok("store", "writable; %s", note)
	default:
		d.ok("store", "writable")
	}
}
