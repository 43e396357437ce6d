// Package doctor examines a deployment, from the settings to the proxy in front,
// and says what to do about each finding.
package doctor

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"time"

	"github.com/anyframe-relay/relay/anyframe"
	"github.com/anyframe-relay/relay/cmd/relay/internal/probe"
	"github.com/anyframe-relay/relay/relay"
)

// The results of a check.
const (
	ResultOK        = "ok"
	ResultFinding   = "finding"   // something to mend
	ResultUnchecked = "unchecked" // not known, and why
	ResultNote      = "note"      // worth knowing, and nothing to mend
)

// Finding is the result of one check.
type Finding struct {
	Site   string `json:"site,omitempty"` // empty for the default site and for all together
	Check  string `json:"check"`
	Result string `json:"result"`
	Says   string `json:"says"`
	Do     string `json:"do,omitempty"` // what to do about a finding
}

// Report is the result of all checks. It is OK if nothing needs to be fixed.
type Report struct {
	OK     bool      `json:"ok"`
	Checks []Finding `json:"checks"`
}

// Deployment is what is examined.
type Deployment struct {
	Config    relay.Config
	Problems  []string // what is wrong with the settings
	Strangers []string // names like those of settings
	Exposed   []string // files with secrets that others may read
	// Patience is for each question, and for a stream's first bytes. Zero is 10 s.
	Patience time.Duration
}

// doctor makes one check after the other.
type doctor struct {
	config   relay.Config
	site     string // whose config that is; empty for the default site
	patience time.Duration
	findings []Finding
}

// Examine makes every check.
func Examine(ctx context.Context, on Deployment) Report {
	d := &doctor{config: on.Config, patience: cmp.Or(on.Patience, 10*time.Second)}
	d.settings(on)
	d.notice()
	d.files(on.Exposed)
	if on.Config.AgentID != 0 || len(on.Config.Sites) == 0 { // else there is no default site
		d.anyframe(ctx)
	}
	d.store(ctx)
	d.webhook(ctx)
	d.public(ctx)
	for _, site := range on.Config.Sites {
		d.site, d.config = site.Name, site.Config
		d.anyframe(ctx)
	}
	r := Report{OK: true, Checks: d.findings}
	for _, f := range d.findings {
		r.OK = r.OK && f.Result != ResultFinding
	}
	return r
}

// Print writes the report for people, or as JSON.
func (r Report) Print(w io.Writer, asJSON bool) error {
	if asJSON {
		out := json.NewEncoder(w)
		out.SetIndent("", "  ")
		out.SetEscapeHTML(false)
		return out.Encode(r)
	}
	var b strings.Builder
	for _, f := range r.Checks {
		mark := map[string]string{ResultOK: "ok", ResultFinding: "FINDING", ResultUnchecked: "?"}[f.Result]
		if f.Site != "" {
			f.Says = "site " + f.Site + ": " + f.Says
		}
		fmt.Fprintf(&b, "%-8s  %-11s %s\n", mark, f.Check, f.Says)
		if f.Do != "" {
			fmt.Fprintf(&b, "%-8s  %-11s → %s\n", "", "", f.Do)
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// add notes a result. What AnyFrame, a store or a proxy said is in it, so that
// every line is made printable here.
func (d *doctor) add(check, result, do, format string, args ...any) {
	d.findings = append(d.findings, Finding{d.site, check, result, probe.Printable(fmt.Sprintf(format, args...)), probe.Printable(do)})
}

func (d *doctor) ok(check, format string, args ...any) {
	d.add(check, ResultOK, "", format, args...)
}

func (d *doctor) unchecked(check, format string, args ...any) {
	d.add(check, ResultUnchecked, "", format, args...)
}

func (d *doctor) finding(check, do, format string, args ...any) {
	d.add(check, ResultFinding, do, format, args...)
}

func (d *doctor) settings(on Deployment) {
	for _, line := range on.Problems {
		d.finding("settings", "mend it in the environment or in .env; relay help lists every setting", "%s", line)
	}
	if len(on.Problems) == 0 {
		d.ok("settings", "all can be read")
	}
	if len(on.Strangers) > 0 { // perhaps not meant for the relay, such as those that Kubernetes makes of a service's name
		d.unchecked("settings", "not the relay's, or misspelt: %s", strings.Join(on.Strangers, ", "))
	}
}

// notice says what the law requires of operators who show no notice.
func (d *doctor) notice() {
	if d.config.NoNotice {
		d.add("notice", ResultNote, "", "RELAY_NOTICE is off. Article 50 of the EU AI Act asks that people are told that they talk to an AI, unless that is obvious: see to it that your page says so")
	}
}

// files checks that only the relay's user may read its secrets.
func (d *doctor) files(exposed []string) {
	for _, path := range exposed {
		d.finding("files", Restrict(path), "other users of this machine may read or write %s, which holds secrets", path)
	}
	if len(exposed) == 0 {
		d.ok("files", "other users have no access to .env or the SQLite file, if there are any")
	}
}

// Restrict is the command that takes a file away from all but its owner.
func Restrict(path string) string {
	if strings.ContainsFunc(path, func(r rune) bool { return !strings.ContainsRune(plain, r) }) || strings.HasPrefix(path, "-") {
		path = "-- '" + strings.ReplaceAll(path, "'", `'\''`) + "'"
	}
	return "chmod 600 " + path
}

// plain characters mean nothing to a shell.
const plain = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_./-"

// anyframe checks the key, the agent and its image, each if the one before is
// good.
func (d *doctor) anyframe(ctx context.Context) {
	c := d.config
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
	id := d.config.AgentID
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
	note, err := d.config.CheckStore(ctx)
	switch {
	case err != nil:
		d.finding("store", "see that RELAY_STORE names what the relay's user may write to; a file needs a writable folder on a local disk", "%v", err)
	case note != "":
		d.ok("store", "writable; %s", note)
	default:
		d.ok("store", "writable")
	}
	if err == nil && d.config.Retention > 0 {
		d.retention(ctx)
	}
}

// retention says how much would go.
func (d *doctor) retention(ctx context.Context) {
	switch n, err := d.config.RetentionDue(ctx); {
	case err != nil:
		d.finding("retention", "see what is wrong with the store", "it is not known what would be deleted: %v", err)
	case n == 0:
		d.ok("retention", "no conversation is idle for %v", d.config.Retention)
	default:
		d.ok("retention", "the relay would delete %d conversations, at AnyFrame and here, which are idle for %v", n, d.config.Retention)
	}
}

// webhook sends a test event to the receiver, if there is one.
func (d *doctor) webhook(ctx context.Context) {
	if d.config.Webhook.URL == "" || d.config.Webhook.Validate() != nil { // else the settings tell
		return
	}
	ctx, cancel := context.WithTimeout(ctx, d.patience)
	defer cancel()
	if err := d.config.CheckWebhook(ctx); err != nil {
		d.finding("webhook", "see that RELAY_WEBHOOK_URL leads to the receiver and that it takes POST requests signed with RELAY_WEBHOOK_SECRET", "the test event was not taken: %v", err)
		return
	}
	d.ok("webhook", "took a test event")
}
