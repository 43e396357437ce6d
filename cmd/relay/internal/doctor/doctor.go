// Package doctor checks a deployment, from the settings to the proxy in front of the relay,
// and reports what to do about each finding.
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

// Results of a check.
const (
	ResultOK        = "ok"
	ResultFinding   = "finding"   // something to fix
	ResultUnchecked = "unchecked" // could not be checked; Says has the reason
	ResultNote      = "note"      // for information, nothing to fix
)

// Finding is the result of one check.
type Finding struct {
	Site   string `json:"site,omitempty"` // empty for the default site and for the relay as a whole
	Check  string `json:"check"`
	Result string `json:"result"`
	Says   string `json:"says"`
	Do     string `json:"do,omitempty"` // what to do about a finding
}

// Report is the result of all checks. OK is true if nothing needs to be fixed.
type Report struct {
	OK     bool      `json:"ok"`
	Checks []Finding `json:"checks"`
}

// Deployment is the deployment to check.
type Deployment struct {
	Config    relay.Config
	Problems  []string // problems with the settings
	Strangers []string // variables whose names look like settings but are not
	Exposed   []string // files with secrets that other users can access
	// Patience is the timeout of each request, and of a stream's first bytes. Zero means 10 s.
	Patience time.Duration
}

// doctor runs the checks one after the other.
type doctor struct {
	config   relay.Config
	site     string // the site that config belongs to; empty for the default site
	patience time.Duration
	findings []Finding
}

// Examine runs all checks.
func Examine(ctx context.Context, on Deployment) Report {
	d := &doctor{config: on.Config, patience: cmp.Or(on.Patience, 10*time.Second)}
	d.settings(on)
	d.notice()
	d.files(on.Exposed)
	if on.Config.AgentID != 0 || len(on.Config.Sites) == 0 { // otherwise there is no default site
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

// Print writes the report as text or as JSON.
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

// add records a result. It escapes non-printable characters, because the text may contain
// output of AnyFrame, a store or a proxy.
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
		d.finding("settings", "fix it in the environment or in .env; relay help lists all settings", "%s", line)
	}
	if len(on.Problems) == 0 {
		d.ok("settings", "all settings are valid")
	}
	if len(on.Strangers) > 0 { // not findings: Kubernetes, for example, sets such variables from the names of services
		d.unchecked("settings", "unknown or misspelled: %s", strings.Join(on.Strangers, ", "))
	}
}

// notice tells operators who turned the notice off what the law requires.
func (d *doctor) notice() {
	if d.config.NoNotice {
		d.add("notice", ResultNote, "", "RELAY_NOTICE is off. Article 50 of the EU AI Act requires you to inform people that they are interacting with an AI, unless that is obvious; make sure that your page says so")
	}
}

// files checks that only the relay's user can access its secrets.
func (d *doctor) files(exposed []string) {
	for _, path := range exposed {
		d.finding("files", Restrict(path), "other users of this machine can read or write %s, which contains secrets", path)
	}
	if len(exposed) == 0 {
		d.ok("files", ".env and the SQLite file, if they exist, are not accessible to other users")
	}
}

// Restrict returns the shell command that makes a file accessible to its owner only.
func Restrict(path string) string {
	if strings.ContainsFunc(path, func(r rune) bool { return !strings.ContainsRune(plain, r) }) || strings.HasPrefix(path, "-") {
		path = "-- '" + strings.ReplaceAll(path, "'", `'\''`) + "'"
	}
	return "chmod 600 " + path
}

// plain lists characters without special meaning to a shell.
const plain = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_./-"

// anyframe checks the key, the agent and its image. It stops at the first failure.
func (d *doctor) anyframe(ctx context.Context) {
	c := d.config
	if c.APIKey == "" {
		d.unchecked("key", "ANYFRAME_API_KEY is not set")
		d.without("ANYFRAME_API_KEY is not set")
		return
	}
	client, err := anyframe.New(
		anyframe.WithAPIKey(string(c.APIKey)), anyframe.WithBaseURL(c.BaseURL), anyframe.WithDotEnv(""),
		anyframe.WithTimeout(d.patience), anyframe.WithRetry(anyframe.RetryPolicy{MaxRetries: -1}),
		anyframe.WithUserAgent("anyframe-relay"), anyframe.WithLogger(slog.New(slog.DiscardHandler)),
	)
	if err != nil {
		d.finding("key", "fix ANYFRAME_API_KEY or ANYFRAME_BASE_URL, whichever is named", "no request to AnyFrame is possible: %v", err)
		d.without("the key could not be checked")
		return
	}
	me, err := client.Me(ctx)
	if errors.Is(err, anyframe.ErrUnauthorized) || errors.Is(err, anyframe.ErrForbidden) {
		d.finding("key", "create a new key on the AnyFrame dashboard, set ANYFRAME_API_KEY to it and restart the relay", "AnyFrame rejects the key: %v", err)
		d.without("AnyFrame rejects the key")
		return
	}
	if err != nil {
		d.upstream("key", err)
		d.without("the request to AnyFrame failed")
		return
	}
	d.ok("key", "belongs to AnyFrame account %s", me.Login)
	d.agent(ctx, client)
}

func (d *doctor) without(reason string) {
	d.unchecked("agent", "%s", reason)
	d.unchecked("image", "%s", reason)
}

// upstream reports a failed request to AnyFrame.
func (d *doctor) upstream(check string, err error) {
	if e, ok := errors.AsType[*anyframe.Error](err); ok && e.StatusCode >= 500 {
		d.finding(check, "wait, then run relay doctor again; visitors get upstream_unavailable in the meantime", "AnyFrame returned a server error: %v", err)
		return
	}
	do := "make sure that this machine can reach AnyFrame: check DNS, firewall, HTTPS_PROXY, ANYFRAME_BASE_URL"
	if e, ok := errors.AsType[*anyframe.Error](err); ok && e.Elsewhere() != "" {
		do = "AnyFrame is moving to another domain: try ANYFRAME_BASE_URL=" + e.Elsewhere() + "; if that fails too, " + do
	}
	d.finding(check, do, "request to AnyFrame failed: %v", err)
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
		d.unchecked("image", "the agent does not exist")
		return
	}
	if err != nil {
		d.upstream("agent", err)
		d.unchecked("image", "the request to AnyFrame failed")
		return
	}
	d.ok("agent", "%d is %q", id, agent.Name)
	d.image(ctx, client, agent)
}

// known describes the account's agents, so that the operator can choose one.
func known(ctx context.Context, client *anyframe.Client) string {
	agents, err := client.Agents.List(ctx)
	switch {
	case err != nil:
		return "the account's agents could not be listed"
	case len(agents) == 0:
		return "the account has no agents yet; create one on the AnyFrame dashboard"
	}
	var names []string
	for _, a := range agents[:min(len(agents), 10)] {
		names = append(names, fmt.Sprintf("%d (%s)", a.ID, a.Name))
	}
	return "the account has " + strings.Join(names, ", ")
}

// image checks that the agent has an image that sandboxes can boot from.
func (d *doctor) image(ctx context.Context, client *anyframe.Client, agent *anyframe.AgentDetail) {
	const build = "build the agent on the AnyFrame dashboard and wait until the build has succeeded"
	switch {
	case agent.Image != nil && agent.BuildKey != "" && agent.Image.BuildKey != agent.BuildKey:
		d.finding("image", build, "the image is older than the agent's settings")
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
		d.finding("image", "wait until the build is done", "the build is in progress")
	case status.State == anyframe.BuildStateFailed:
		d.finding("image", "read the build log on the AnyFrame dashboard, fix the cause and build again", "the build failed: %s", status.Error)
	case status.State == "":
		d.finding("image", build, "the agent was never built; no sandbox can boot")
	default:
		d.finding("image", build, "the agent has no image; the state of its last build is %s", status.State)
	}
}

func (d *doctor) store(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, d.patience)
	defer cancel()
	note, err := d.config.CheckStore(ctx)
	switch {
	case err != nil:
		d.finding("store", "make sure that the relay's user can write to the store in RELAY_STORE; a SQLite file needs a writable folder on a local disk", "%v", err)
	case note != "":
		d.ok("store", "writable; %s", note)
	default:
		d.ok("store", "writable")
	}
	if err == nil && d.config.Retention > 0 {
		d.retention(ctx)
	}
}

// retention reports how many conversations would be deleted.
func (d *doctor) retention(ctx context.Context) {
	switch n, err := d.config.RetentionDue(ctx); {
	case err != nil:
		d.finding("retention", "fix the store", "cannot determine which conversations would be deleted: %v", err)
	case n == 0:
		d.ok("retention", "no conversation has been idle for %v", d.config.Retention)
	default:
		d.ok("retention", "the relay would delete %d conversations, at AnyFrame and in the store, that have been idle for %v", n, d.config.Retention)
	}
}

// webhook sends a test event to the webhook's receiver, if one is configured.
func (d *doctor) webhook(ctx context.Context) {
	if d.config.Webhook.URL == "" || d.config.Webhook.Validate() != nil { // reported with the settings
		return
	}
	ctx, cancel := context.WithTimeout(ctx, d.patience)
	defer cancel()
	if err := d.config.CheckWebhook(ctx); err != nil {
		d.finding("webhook", "make sure that RELAY_WEBHOOK_URL is the receiver's URL and that it accepts POST requests signed with RELAY_WEBHOOK_SECRET", "the receiver did not accept the test event: %v", err)
		return
	}
	d.ok("webhook", "the receiver accepted a test event")
}
