package relay

import (
	"net/http"

	"github.com/go-chi/chi/v5"

	"github.com/anyframe-relay/relay/relay/internal/clientip"
	"github.com/anyframe-relay/relay/relay/internal/problem"
)

// routes is every route and every middleware, in the order in which a request
// meets them.
func (s *Server) routes() http.Handler {
	root := chi.NewRouter()
	root.Use(s.config.TrustedProxies.Middleware(), s.observe, s.recover, s.bodyInTime)
	root.NotFound(s.handle(notFound))
	root.MethodNotAllowed(s.handle(methodNotAllowed))

	r := chi.Router(root)
	if base := s.config.BasePath; base != "" {
		root.Get(base, s.redirectToPage)
		root.Head(base, s.redirectToPage)
		r = chi.NewRouter()
		r.NotFound(s.handle(notFound))
		r.MethodNotAllowed(s.handle(methodNotAllowed))
		root.Mount(base+"/", r)
	}

	r.Route("/v1", func(r chi.Router) {
		r.Use(private, s.checkOrigin, s.limitAddr, s.dropBody)
		r.Post("/visitor", s.handle(s.introduce))
		r.Delete("/visitor", s.handle(s.forget))
		r.Get("/session", s.handle(s.showSession))
		r.Post("/session", s.handle(s.wakeSession))
		r.Delete("/session", s.handle(s.endSession))
		r.Post("/messages", s.handle(s.startTurn))
		r.Post("/responses", s.handle(s.answerPrompt))
		r.Get("/events", s.handle(s.streamEvents))
		r.Get("/transcript", s.handle(s.showTranscript))
	})

	for _, method := range []string{http.MethodGet, http.MethodHead} {
		r := r.With(s.dropBody)
		r.Method(method, "/", http.HandlerFunc(s.widget.Page))
		if len(s.config.Triggers) > 0 {
			r.Method(method, "/playground", http.HandlerFunc(s.widget.Playground))
		}
		r.Method(method, "/widget.js", http.HandlerFunc(s.widget.Loader))
		r.Method(method, "/assets/{file}", s.handle(s.widget.Asset))
		r.Method(method, "/healthz", http.HandlerFunc(s.alive))
		r.Method(method, "/readyz", http.HandlerFunc(s.ready))
	}
	return root
}

func notFound(http.ResponseWriter, *http.Request) error { return problem.NotFound }

// methodNotAllowed says which methods an address takes, as RFC 9110 section
// 15.5.6 wants it.
func methodNotAllowed(w http.ResponseWriter, r *http.Request) error {
	routes := chi.RouteContext(r.Context()).Routes
	for _, method := range []string{http.MethodGet, http.MethodHead, http.MethodPost, http.MethodDelete} {
		if routes.Match(chi.NewRouteContext(), method, r.URL.Path) {
			w.Header().Add("Allow", method)
		}
	}
	return problem.Method
}

// private keeps every answer of the API out of caches and frames, and what it is
// from being guessed at.
func private(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Cache-Control", "no-store")
		h.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
		h.Set("X-Content-Type-Options", "nosniff")
		next.ServeHTTP(w, r)
	})
}

// limitAddr refuses addresses that ask too often.
func (s *Server) limitAddr(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := s.limits.Request(r.Context(), clientip.Of(r)); err != nil {
			s.refuse(w, r, err)
			return
		}
		next.ServeHTTP(w, r)
	})
}

func (s *Server) redirectToPage(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Location", s.config.BasePath+"/")
	w.WriteHeader(http.StatusPermanentRedirect)
}
