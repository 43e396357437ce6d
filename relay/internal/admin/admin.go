package admin

import (
	"context"
	"io/fs"
	"log/slog"
	"net/http"
	"sync/atomic"

	"github.com/go-chi/chi/v5"

	"github.com/anyframe-relay/relay/anyframe"
	"github.com/anyframe-relay/relay/relay/internal/control"
	"github.com/anyframe-relay/relay/relay/internal/erasure"
	"github.com/anyframe-relay/relay/relay/internal/feedback"
	"github.com/anyframe-relay/relay/relay/internal/history"
	"github.com/anyframe-relay/relay/relay/internal/journal"
	"github.com/anyframe-relay/relay/relay/internal/past"
	"github.com/anyframe-relay/relay/relay/internal/problem"
	"github.com/anyframe-relay/relay/relay/internal/session"
	"github.com/anyframe-relay/relay/relay/internal/store"
	"github.com/anyframe-relay/relay/relay/internal/telemetry"
)

// Options are the settings of the admin listener.
type Options struct {
	// Tokens authenticate the operators. Without any, every client that can reach the
	// listener is an operator.
	Tokens []Token
	// Hosts are the accepted host names, besides localhost and IP addresses.
	Hosts []string
	// Read lets operators read the content of conversations.
	Read bool
}

// Parts are what the handlers call.
type Parts struct {
	Control *control.Control
	// Sites returns the sites that have conversations: the default site first, then the
	// others by name.
	Sites func(context.Context) ([]Site, error)
	// Rows returns each site's view of the store, whether it has conversations or not.
	Rows func() []store.RecordStore
	// Usage returns the usage counts of each site, in the order of Sites.
	Usage func(context.Context) ([]Usage, error)
	// Reload rereads the settings and returns what is wrong with them, one line each. It
	// is nil if they cannot be reloaded.
	Reload  func() []string
	Records store.RecordStore // with the operators' decisions
	Page    fs.FS             // of the console
	// Draining is closed when the relay starts to shut down.
	Draining <-chan struct{}
	Metrics  *telemetry.Metrics
	Log      *slog.Logger
}

// Site is a site as operators see it.
type Site struct {
	Name     string // "default" for the site without a name
	Hub      *session.Hub
	Book     *history.Book
	Erasures *erasure.Worker
	Prompts  *journal.Prompts
	Sessions store.SessionStore
	Client   *anyframe.Client
	Past     *past.Reader
	Feedback *feedback.Book // nil if visitors may not rate answers
}

// Admin serves operators.
type Admin struct {
	options Options
	streams atomic.Int32  // number of open change streams
	reads   chan struct{} // has an element for each transcript being read
	Parts
}

// New returns the operators' API of a relay.
func New(o Options, p Parts) *Admin {
	return &Admin{options: o, reads: make(chan struct{}, maxReads), Parts: p}
}

// Handler serves the API. Other requests go to open, which is available to any client
// that reaches the listener. Requests under /debug go to debug, which requires a token.
func (a *Admin) Handler(open, debug http.Handler) http.Handler {
	r := chi.NewRouter()
	r.NotFound(open.ServeHTTP)
	a.page(r)
	r.Handle("/debug/*", a.requireToken(debug))
	r.Route("/api", func(r chi.Router) {
		r.Use(private, a.requireToken)
		r.NotFound(a.handle(func(http.ResponseWriter, *http.Request) error { return problem.NotFound }))
		r.MethodNotAllowed(a.handle(func(http.ResponseWriter, *http.Request) error { return problem.Method }))
		r.Get("/conversations", a.handle(a.listConversations))
		r.Post("/conversations/{id}/stop", a.handle(a.stop))
		r.Post("/conversations/{id}/end", a.handle(a.end))
		r.Post("/conversations/{id}/erase", a.handle(a.erase))
		r.Get("/conversations/{id}/transcript", a.handle(a.showTranscript))
		r.Get("/erasures/{id}", a.handle(a.showErasure))
		r.Post("/conversations/{id}/prompts/{prompt}", a.handle(a.decide))
		r.Get("/usage", a.handle(a.showUsage))
		r.Get("/events", a.handle(a.streamChanges))
		r.Post("/reload", a.handle(a.reload))
		r.Get("/pause", a.handle(a.showPause))
		r.Put("/pause", a.handle(a.pause))
		r.Delete("/pause", a.handle(a.unpause))
		r.Get("/banner", a.handle(a.showBanner))
		r.Put("/banner", a.handle(a.setBanner))
		r.Delete("/banner", a.handle(a.removeBanner))
		r.Get("/blocks", a.handle(a.listBlocks))
		r.Get("/blocks/{subject}", a.handle(a.showBlock))
		r.Put("/blocks/{subject}", a.handle(a.block))
		r.Delete("/blocks/{subject}", a.handle(a.unblock))
	})
	return guard(r, a.options.Hosts)
}

// private keeps answers out of caches and frames.
func private(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "no-store")
		w.Header().Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
		next.ServeHTTP(w, r)
	})
}

type operatorKey struct{}

// operator returns the name of the operator who sent the request.
func operator(r *http.Request) string {
	name, _ := r.Context().Value(operatorKey{}).(string)
	return name
}

// requireToken refuses requests without an operator's token before it reads anything else
// of them.
func (a *Admin) requireToken(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		name, err := identify(a.options.Tokens, r)
		if err != nil {
			if r.Header.Get("Authorization") != "" {
				a.Log.Warn("operator authentication failed", "peer", r.RemoteAddr)
			}
			w.Header().Set("WWW-Authenticate", "Bearer")
			a.refuse(w, r, problem.AdminToken)
			return
		}
		next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), operatorKey{}, name)))
	})
}

// handle adapts a handler that returns its refusal: it writes the refusal. What changes
// something is completed and logged even if the operator disconnects.
func (a *Admin) handle(h func(http.ResponseWriter, *http.Request) error) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet {
			r = r.WithContext(context.WithoutCancel(r.Context()))
		}
		if err := h(w, r); err != nil {
			a.refuse(w, r, err)
		}
	}
}

func (a *Admin) refuse(w http.ResponseWriter, r *http.Request, err error) {
	p := problem.Write(w, err)
	a.Metrics.AdminRefusal(p.Code)
	if p.Status >= http.StatusInternalServerError {
		a.Log.Warn("operator request failed", "code", p.Code, "route", chi.RouteContext(r.Context()).RoutePattern(), "error", err)
	}
}

// audit logs which operator changed something or read a conversation. It is called after
// the action.
func (a *Admin) audit(r *http.Request, action string, attrs ...any) {
	a.Metrics.AdminAction(action)
	a.Log.Info("audit", append([]any{"operator", operator(r), "action", action}, attrs...)...)
}
