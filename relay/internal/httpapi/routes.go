package httpapi

import (
	"context"
	"net/http"

	"github.com/go-chi/chi/v5"

	"github.com/anyframe-relay/relay/relay/internal/clientip"
	"github.com/anyframe-relay/relay/relay/internal/limits"
	"github.com/anyframe-relay/relay/relay/internal/problem"
	"github.com/anyframe-relay/relay/relay/internal/visitor"
)

// routes returns all routes and middleware, in the order in which a request passes them.
func (a *api) routes() http.Handler {
	root := chi.NewRouter()
	root.Use(a.options.TrustedProxies.Middleware(), a.observe, a.recover, a.checkHost, a.bodyInTime)
	root.NotFound(a.handle(notFound))
	root.MethodNotAllowed(a.handle(methodNotAllowed))

	r := chi.Router(root)
	if base := a.options.root(); base != "" {
		root.Get(base, a.redirectToPage)
		root.Head(base, a.redirectToPage)
		r = chi.NewRouter()
		r.NotFound(a.handle(notFound))
		r.MethodNotAllowed(a.handle(methodNotAllowed))
		root.Mount(base+"/", r)
	}

	if a.hub != nil {
		a.siteRoutes(r)
	}
	if a.ready != nil {
		for _, method := range []string{http.MethodGet, http.MethodHead} {
			r.Method(method, "/healthz", a.dropBody(a.alive))
			r.Method(method, "/readyz", a.dropBody(a.ready))
		}
	}
	return root
}

// siteRoutes adds the routes that visitors of a site use.
func (a *api) siteRoutes(r chi.Router) {
	r.Route("/v1", func(r chi.Router) {
		r.Use(private, a.checkOrigin, a.checkBlock, a.limitAddr)
		r.NotFound(a.dropBody(a.handle(notFound)).ServeHTTP)
		r.MethodNotAllowed(a.dropBody(a.handle(methodNotAllowed)).ServeHTTP)
		r.Post("/visitor", a.handle(a.introduce))
		r.Group(func(r chi.Router) {
			r.Use(a.requireVisitor, a.dropBody)
			r.Delete("/visitor", a.handle(a.forget))
			r.Get("/session", a.handle(a.showSession))
			r.Post("/session", a.handle(a.wakeSession))
			r.Delete("/session", a.handle(a.endSession))
			r.Post("/messages", a.handle(a.startTurn))
			r.Post("/turns/{turn}/stop", a.handle(a.stopTurn))
			r.Post("/feedback", a.handle(a.giveFeedback))
			r.Post("/responses", a.handle(a.answerPrompt))
			r.Get("/events", a.handle(a.streamEvents))
			r.Get("/transcript", a.handle(a.showTranscript))
			r.Get("/conversations", a.handle(a.listConversations))
			r.Delete("/conversations/{epoch}", a.handle(a.eraseConversation))
			r.Get("/export", a.handle(a.export))
		})
	})

	for _, method := range []string{http.MethodGet, http.MethodHead} {
		r := r.With(a.dropBody)
		r.Method(method, "/", http.HandlerFunc(a.widget.Page))
		if a.options.Playground {
			r.Method(method, "/playground", http.HandlerFunc(a.widget.Playground))
		}
		r.Method(method, "/widget.js", http.HandlerFunc(a.widget.Loader))
		r.Method(method, "/assets/{file}", a.handle(a.widget.Asset))
	}
}

func notFound(http.ResponseWriter, *http.Request) error { return problem.NotFound }

// methodNotAllowed lists the allowed methods, as required by RFC 9110 section 15.5.6.
func methodNotAllowed(w http.ResponseWriter, r *http.Request) error {
	routes := chi.RouteContext(r.Context()).Routes
	for _, method := range []string{http.MethodGet, http.MethodHead, http.MethodPost, http.MethodDelete} {
		if routes.Match(chi.NewRouteContext(), method, r.URL.Path) {
			w.Header().Add("Allow", method)
		}
	}
	return problem.Method
}

// private keeps all API answers out of caches and frames, and disables content sniffing.
func private(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Cache-Control", "no-store")
		h.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
		h.Set("X-Content-Type-Options", "nosniff")
		next.ServeHTTP(w, r)
	})
}

// limitAddr refuses addresses that exceed their rate. Uses of shared resources during the
// request are accounted to the address.
func (a *api) limitAddr(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		addr := clientip.Of(r)
		if err := a.limits.Request(r.Context(), addr); err != nil {
			a.refuse(w, r, err)
			return
		}
		next.ServeHTTP(w, r.WithContext(limits.WithAddr(r.Context(), addr)))
	})
}

// checkBlock refuses addresses that an operator has blocked.
func (a *api) checkBlock(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := a.control.State().BlockedAddr(clientip.Of(r)); err != nil {
			a.refuse(w, r, err)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// requireVisitor refuses requests without a valid token before it reads anything else of
// them. Handlers get the visitor from [visitorOf].
func (a *api) requireVisitor(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		v, err := a.visitor(r)
		if err == nil {
			err = a.control.State().BlockedVisitor(v.ID)
		}
		if err != nil {
			a.refuse(w, r, err)
			return
		}
		next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), visitorKey{}, v)))
	})
}

type visitorKey struct{}

// visitorOf returns the visitor authenticated by the request, on a route that requires a
// token.
func visitorOf(r *http.Request) visitor.Visitor {
	v, _ := r.Context().Value(visitorKey{}).(visitor.Visitor)
	return v
}

func (a *api) redirectToPage(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Location", a.options.root()+"/")
	w.WriteHeader(http.StatusPermanentRedirect)
}
