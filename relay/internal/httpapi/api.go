// Package httpapi answers the relay's HTTP requests: it has the routes, and reads, checks
// and answers each request. What a visitor's chat is and does is package session's; how
// events are sent is package stream's.
package httpapi

import (
	"log/slog"
	"net/http"

	"go.opentelemetry.io/otel/trace"

	"github.com/anyframe-relay/relay/relay/internal/caller"
	"github.com/anyframe-relay/relay/relay/internal/challenge"
	"github.com/anyframe-relay/relay/relay/internal/clientip"
	"github.com/anyframe-relay/relay/relay/internal/consent"
	"github.com/anyframe-relay/relay/relay/internal/control"
	"github.com/anyframe-relay/relay/relay/internal/erasure"
	"github.com/anyframe-relay/relay/relay/internal/feedback"
	"github.com/anyframe-relay/relay/relay/internal/history"
	"github.com/anyframe-relay/relay/relay/internal/limits"
	"github.com/anyframe-relay/relay/relay/internal/message"
	"github.com/anyframe-relay/relay/relay/internal/origin"
	"github.com/anyframe-relay/relay/relay/internal/past"
	"github.com/anyframe-relay/relay/relay/internal/session"
	"github.com/anyframe-relay/relay/relay/internal/stream"
	"github.com/anyframe-relay/relay/relay/internal/telemetry"
	"github.com/anyframe-relay/relay/relay/internal/visitor"
	"github.com/anyframe-relay/relay/relay/internal/visitorctx"
	"github.com/anyframe-relay/relay/relay/internal/widget"
)

// api is every route of the public listener: HTTP in, answers and problems out.
// It has no state of its own beyond what it is made of.
type api struct {
	options     Options
	caller      caller.Policy
	crossOrigin *http.CrossOriginProtection

	hub        *session.Hub
	tokens     *visitor.Tokens
	identities *visitor.Verifier // nil when visitors are known by their tokens only
	contexts   *visitorctx.Keeper
	consent    *consent.Gate
	challenge  *challenge.Booth
	feedback   *feedback.Book
	limits     *limits.Limits
	control    *control.Control
	book       *history.Book
	past       *past.Reader
	erasures   *erasure.Worker
	widget     *widget.Files
	metrics    *telemetry.Metrics
	log        *slog.Logger

	streams *stream.Server

	alive, ready http.HandlerFunc // GET /healthz and /readyz
}

// Parts are what handlers call.
type Parts struct {
	Hub        *session.Hub // nil where there is no site, but only health
	Tokens     *visitor.Tokens
	Identities *visitor.Verifier // nil when visitors are known by their tokens only
	Contexts   *visitorctx.Keeper
	Consent    *consent.Gate
	Challenge  *challenge.Booth
	Feedback   *feedback.Book
	Limits     *limits.Limits
	Control    *control.Control
	Book       *history.Book // the conversations of all visitors
	Past       *past.Reader
	Erasures   *erasure.Worker
	Widget     *widget.Files
	Streams    *stream.Server
	Metrics    *telemetry.Metrics
	Log        *slog.Logger

	// Alive and Ready answer GET /healthz and /readyz; nil where there is no such route.
	Alive, Ready http.HandlerFunc
}

// New returns the handler of every public route.
func New(o Options, p Parts) http.Handler {
	public := origin.OfURL(o.PublicURL)
	policy := caller.Policy{Site: o.Site, BasePath: o.BasePath, PublicOrigin: public, AllowedOrigins: o.AllowedOrigins, TrustedProxies: o.TrustedProxies}
	a := &api{
		options: o, caller: policy, crossOrigin: newCrossOrigin(public), hub: p.Hub, tokens: p.Tokens, identities: p.Identities,
		contexts: p.Contexts, consent: p.Consent, challenge: p.Challenge, feedback: p.Feedback, limits: p.Limits, control: p.Control, book: p.Book, past: p.Past, erasures: p.Erasures, widget: p.Widget, streams: p.Streams, metrics: p.Metrics, log: p.Log, alive: p.Alive, ready: p.Ready,
	}
	return a.routes()
}

// Options are the settings that the handlers go by.
type Options struct {
	// BasePath is the path all routes sit under, such as /chat. Empty is the root.
	BasePath string
	// Site is the name of the site that is served, whose routes are below /s/<Site> of
	// BasePath. Empty: the default site.
	Site string
	// PublicURL is where browsers find the relay. Empty: its host is not known.
	PublicURL string
	// AllowedOrigins may call from other sites.
	AllowedOrigins []string
	TrustedProxies clientip.TrustedProxies
	// Loopback says that the relay listens on a loopback address only.
	Loopback bool

	VisitorApprovals bool // visitors decide permission prompts
	BootOnOpen       bool // POST /v1/session may make a sandbox
	Playground       bool // the demo's page is served

	// Notice is what the widget says under its composer; empty: its own words.
	Notice     string
	NoNotice   bool   // it says nothing
	PrivacyURL string // linked from the notice

	Feedback bool // visitors rate answers

	// Limits are what a message may have.
	message.Limits

	// Traces gets the trace of every turn. Nil traces nothing.
	Traces trace.TracerProvider
}

// root is the path that all routes of the site sit under.
func (o *Options) root() string {
	if o.Site == "" {
		return o.BasePath
	}
	return o.BasePath + SitePath(o.Site)
}

// SitePath is where a site's routes are below the base path.
func SitePath(site string) string { return "/s/" + site }

// MaxBody returns the size in bytes of the largest body that any route takes.
func (o *Options) MaxBody() int64 { return max(o.Limits.MaxBody(), maxSmallBody, maxFeedbackBody) }
