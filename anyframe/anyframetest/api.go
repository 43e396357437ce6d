package anyframetest

import (
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

const (
	maxBodyBytes       = 64 << 20
	maxTranscriptLimit = 5000
	maxRequestsKept    = 10_000
)

// A Request is one request as received.
type Request struct {
	Op     Op     // "unknown" if the API has no such operation
	Proto  string // such as "HTTP/2.0"
	Method string
	Path   string
	Query  url.Values
	Header http.Header
	Body   []byte // nil if a fault came first
}

// An answer is a complete HTTP response.
type answer struct {
	status int
	header http.Header
	body   []byte // JSON unless the header says otherwise; nil for none
}

func success(status int, body []byte) answer { return answer{status: status, body: body} }

// refuse returns an error response with a text in detail.
func refuse(status int, detail string) answer {
	return answer{status: status, body: encode(map[string]string{"detail": detail})}
}

// An issue is one error in a request.
type issue struct {
	Loc  []any  `json:"loc"`
	Msg  string `json:"msg"`
	Type string `json:"type"`
}

func invalid(issues ...issue) answer {
	return answer{status: http.StatusUnprocessableEntity, body: encode(map[string][]issue{"detail": issues})}
}

// ServeHTTP serves one request of the API.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if !s.enter() {
		deliver(w, refuse(http.StatusServiceUnavailable, "Shutting down"))
		return
	}
	defer s.work.Done()

	c := newCall(r)
	fault := s.nextFault(&c)
	if fault.Kind == Refuse {
		s.record(&c)
		reset(w)
		return
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBodyBytes))
	if err != nil {
		return // the client left, or does not end the body
	}
	c.Body = body
	s.record(&c)
	if s.failBefore(w, r, fault) {
		return
	}
	if fault.Kind == SlowBody {
		w = &dribble{ResponseWriter: w, server: s, request: r, n: fault.pieceBytes(), delay: fault.Delay}
	}
	if refusal, refused := s.authorize(&c); refused {
		s.failAfter(w, r, fault, refusal)
		return
	}
	if c.Op == OpEvents || c.Op == OpBuildStream {
		s.serveStream(w, r, &c, fault)
		return
	}
	s.failAfter(w, r, fault, s.perform(&c))
}

func (s *Server) record(c *call) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.requests) == maxRequestsKept {
		s.requests = slices.Delete(s.requests, 0, maxRequestsKept/10)
	}
	s.requests = append(s.requests, c.Request)
	s.counts[c.Op]++
	s.notify()
}

func (s *Server) authorize(c *call) (answer, bool) {
	if c.Op == OpBuildLog {
		return answer{}, false // the signature is in the URL
	}
	scheme, key, _ := strings.Cut(c.Header.Get("Authorization"), " ")
	if !strings.EqualFold(scheme, "Bearer") || !s.accepts(key) {
		return refuse(http.StatusUnauthorized, "Invalid API key"), true
	}
	return answer{}, false
}

func deliver(w http.ResponseWriter, a answer) {
	maps.Copy(w.Header(), a.header)
	if a.body != nil && w.Header().Get("Content-Type") == "" {
		w.Header().Set("Content-Type", "application/json")
	}
	w.WriteHeader(a.status)
	_, _ = w.Write(a.body) // the client may have left
}
