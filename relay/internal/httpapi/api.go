// Package httpapi answers the relay's HTTP requests: it has the routes, and reads, checks
// and answers each request. What a visitor's chat is and does is package session's; how
// events are sent is package stream's.
package httpapi

import (
	"log/slog"
	"net/http"

	"go.opentelemetry.io/otel/trace"

	"github.com/anyframe-relay/relay/relay/internal/clientip"
	"github.com/anyframe-relay/relay/relay/internal/limits"
	"github.com/anyframe-relay/relay/relay/internal/session"
	"github.com/anyframe-relay/relay/relay/internal/stream"
	"github.com/anyframe-relay/relay/relay/internal/telemetry"
	"github.com/anyframe-relay/relay/relay/internal/visitor"
	"github.com/anyframe-relay/relay/relay/internal/widget"
)

// api is every route of the public listener: HTTP in, answers and problems out.
// It has no state of its own beyond what it is made of.
type api struct {
	options      Options
	publicOrigin string // of options.PublicURL; empty without one
	crossOrigin  *http.CrossOriginProtection

	hub        *session.Hub
	tokens     *visitor.Tokens
	identities *visitor.Verifier // nil when visitors are known by their tokens only
	limits     *limits.Limits
	widget     *widget.Files
	metrics    *telemetry.Metrics
	log        *slog.Logger

	streams *stream.Server

	alive, ready http.HandlerFunc // GET /healthz and /readyz
}

// Parts are what handlers call.
type Parts struct {
	Hub        *session.Hub
	Tokens     *visitor.Tokens
	Identities *visitor.Verifier // nil when visitors are known by their tokens only
	Limits     *limits.Limits
	Widget     *widget.Files
	Streams    *stream.Server
	Metrics    *telemetry.Metrics
	Log        *slog.Logger

	// Alive and Ready answer GET /healthz and /readyz.
	Alive, Ready http.HandlerFunc
}

// New returns the handler of every public route.
func New(o Options, p Parts) http.Handler {
	public := originOfURL(o.PublicURL)
	a := &api{
		options: o, publicOrigin: public, crossOrigin: newCrossOrigin(public), hub: p.Hub, tokens: p.Tokens, identities: p.Identities,
		limits: p.Limits, widget: p.Widget, streams: p.Streams, metrics: p.Metrics, log: p.Log, alive: p.Alive, ready: p.Ready,
	}
	return a.routes()
}

// Options are the settings that the handlers go by.
type Options struct {
	// BasePath is the path all routes sit under, such as /chat. Empty is the root.
	BasePath string
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

	MaxMessage      int // bytes of a message's text
	MaxAttachment   int // bytes of one attachment
	MaxAttachments  int
	AttachmentTypes []string

	// Traces gets the trace of every turn. Nil traces nothing.
	Traces trace.TracerProvider
}

// MaxBody returns the size in bytes of the largest body that any route takes.
func (o *Options) MaxBody() int64 { return max(o.maxMessageBody(), maxSmallBody) }
