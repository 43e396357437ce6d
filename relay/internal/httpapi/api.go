// Package httpapi serves the relay's HTTP API: it defines the routes, and reads,
// validates and answers each request. Package session implements a visitor's chat;
// package stream sends events.
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

// api implements every route of the public listener. It has no state besides its fields.
type api struct {
	options     Options
	caller      caller.Policy
	crossOrigin *http.CrossOriginProtection

	hub        *session.Hub
	tokens     *visitor.Tokens
	identities *visitor.Verifier // nil if visitors are identified by their tokens only
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

// Parts are what the handlers call.
type Parts struct {
	Hub        *session.Hub // nil if there is no site, only health checks
	Tokens     *visitor.Tokens
	Identities *visitor.Verifier // nil if visitors are identified by their tokens only
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

	// Alive and Ready serve GET /healthz and /readyz; nil if there is no such route.
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

// Options are the settings of the handlers.
type Options struct {
	// BasePath is the prefix of all routes, such as /chat. Empty is the root.
	BasePath string
	// Site is the name of the served site, whose routes are under /s/<Site> of BasePath.
	// Empty is the default site.
	Site string
	// PublicURL is the URL at which browsers reach the relay. Empty means that its host
	// is unknown.
	PublicURL string
	// AllowedOrigins are the other sites that may call.
	AllowedOrigins []string
	TrustedProxies clientip.TrustedProxies
	// Loopback says that the relay listens only on a loopback address.
	Loopback bool

	VisitorApprovals bool // visitors decide permission prompts
	BootOnOpen       bool // POST /v1/session may create a sandbox
	Playground       bool // the demo's page is served

	// Notice is the text under the widget's composer; empty is the widget's own text.
	Notice     string
	NoNotice   bool   // there is no notice
	PrivacyURL string // linked from the notice

	Feedback bool // visitors rate answers

	// Limits are the limits of a message.
	message.Limits

	// Traces receives the trace of every turn. If nil, nothing is traced.
	Traces trace.TracerProvider
}

// root returns the path prefix of all routes of the site.
func (o *Options) root() string {
	if o.Site == "" {
		return o.BasePath
	}
	return o.BasePath + SitePath(o.Site)
}

// SitePath returns the prefix of a site's routes below the base path.
func SitePath(site string) string { return "/s/" + site }

// MaxBody returns the maximum size in bytes of a body, over all routes.
func (o *Options) MaxBody() int64 { return max(o.Limits.MaxBody(), maxSmallBody, maxFeedbackBody) }
