package anyframetest

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// An Op names one operation of the API.
type Op string

// The operations. [OpAny] stands for all of them, where a choice is asked for.
const (
	OpAny         Op = ""
	OpMe          Op = "me"
	OpAgent       Op = "agent"
	OpBuildStatus Op = "build_status"
	OpList        Op = "list"
	OpCreate      Op = "create"
	OpGet         Op = "get"
	OpDelete      Op = "delete"
	OpResume      Op = "resume"
	OpTerminate   Op = "terminate"
	OpSnapshots   Op = "snapshots"
	OpMessage     Op = "message"
	OpRespond     Op = "respond"
	OpTranscript  Op = "transcript"
	OpEvents      Op = "events"
)

const (
	maxBodyBytes       = 64 << 20
	maxTranscriptLimit = 5000
	maxRequestsKept    = 10_000
)

// A Request is one request as it arrived.
type Request struct {
	Op     Op // "unknown" when the API has no such thing
	Method string
	Path   string
	Query  url.Values
	Header http.Header
	Body   []byte // nil when a fault came first
}

const opUnknown Op = "unknown"

// An answer is a whole HTTP response.
type answer struct {
	status int
	header http.Header
	body   []byte // JSON; nil for none
}

func success(status int, body []byte) answer { return answer{status: status, body: body} }

// refuse is an error answer with a text in detail.
func refuse(status int, detail string) answer {
	return answer{status: status, body: encode(map[string]string{"detail": detail})}
}

// An issue is one thing wrong with a request.
type issue struct {
	Loc  []any  `json:"loc"`
	Msg  string `json:"msg"`
	Type string `json:"type"`
}

func invalid(issues ...issue) answer {
	return answer{status: http.StatusUnprocessableEntity, body: encode(map[string][]issue{"detail": issues})}
}

// A call is one request on its way through the server.
type call struct {
	Request
	id string // of the session or the agent, as in the path
}

// route finds the operation and the id that a request is about.
func route(r *http.Request) call {
	c := call{Request: Request{Op: opUnknown, Method: r.Method, Path: r.URL.Path, Query: r.URL.Query(), Header: r.Header.Clone()}}
	rest, found := strings.CutPrefix(r.URL.Path, "/api/")
	if !found {
		return c
	}
	parts := strings.Split(rest, "/")
	shape := r.Method + " " + parts[0]
	if len(parts) > 1 {
		c.id = parts[1]
		parts[1] = "*"
		shape = r.Method + " " + strings.Join(parts, "/")
	}
	if op, found := operations[shape]; found {
		c.Op = op
	}
	return c
}

var operations = map[string]Op{
	"GET me":                    OpMe,
	"GET agents/*":              OpAgent,
	"GET agents/*/build/status": OpBuildStatus,
	"GET sessions":              OpList,
	"POST sessions":             OpCreate,
	"GET sessions/*":            OpGet,
	"DELETE sessions/*":         OpDelete,
	"POST sessions/*/resume":    OpResume,
	"POST sessions/*/terminate": OpTerminate,
	"GET sessions/*/snapshots":  OpSnapshots,
	"POST sessions/*/message":   OpMessage,
	"POST sessions/*/respond":   OpRespond,
	"GET sessions/*/transcript": OpTranscript,
	"GET sessions/*/events":     OpEvents,
}

// ServeHTTP answers one request of the API.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if !s.enter() {
		deliver(w, refuse(http.StatusServiceUnavailable, "Shutting down"))
		return
	}
	defer s.work.Done()

	c := route(r)
	fault := s.nextFault(&c)
	if fault.Kind == Refuse {
		s.record(&c)
		reset(w)
		return
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBodyBytes))
	if err != nil {
		return // the client left, or sends no end of it
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
	if c.Op == OpEvents {
		s.serveEvents(w, r, &c, fault)
		return
	}
	s.failAfter(w, r, fault, s.act(&c))
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
	scheme, key, _ := strings.Cut(c.Header.Get("Authorization"), " ")
	if !strings.EqualFold(scheme, "Bearer") || key != s.key {
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
	_, _ = w.Write(a.body) // a client that left is no concern of ours
}

// acts and sessionActs hold what each operation does; all want mu held.
var acts = map[Op]func(*Server, *call) answer{
	OpMe:          (*Server).me,
	OpAgent:       (*Server).agentAnswer,
	OpBuildStatus: (*Server).agentAnswer,
	OpList:        (*Server).list,
	OpCreate:      (*Server).create,
}

var sessionActs = map[Op]func(*Server, *session, *call) answer{
	OpGet:        (*Server).get,
	OpDelete:     (*Server).delete,
	OpResume:     (*Server).resume,
	OpTerminate:  (*Server).terminate,
	OpSnapshots:  (*Server).listSnapshots,
	OpMessage:    (*Server).messageAnswer,
	OpRespond:    (*Server).respondAnswer,
	OpTranscript: (*Server).transcript,
}

// act does what the request asks for.
func (s *Server) act(c *call) answer {
	s.mu.Lock()
	defer s.mu.Unlock()
	if act := acts[c.Op]; act != nil {
		return act(s, c)
	}
	act := sessionActs[c.Op]
	if act == nil {
		return refuse(http.StatusNotFound, "Not Found")
	}
	sess, refusal := s.lookUp(c.id)
	if sess == nil {
		return refusal
	}
	return act(s, sess, c)
}

func (s *Server) me(*call) answer {
	return success(http.StatusOK, encode(map[string]any{
		"id": 1, "github_id": 1001, "login": "operator", "name": "The operator", "avatar_url": nil,
	}))
}

func (s *Server) list(*call) answer {
	views := make([]json.RawMessage, 0, len(s.order))
	for _, sess := range slices.Backward(s.order) {
		views = append(views, sess.view())
	}
	return success(http.StatusOK, encode(views))
}

func (s *Server) get(sess *session, _ *call) answer { return success(http.StatusOK, sess.view()) }

func (s *Server) delete(sess *session, _ *call) answer {
	if sess.live() {
		return refuse(http.StatusConflict, "The sandbox is live")
	}
	s.remove(sess)
	return answer{status: http.StatusNoContent}
}

func (s *Server) terminate(sess *session, _ *call) answer {
	if sess.live() && sess.status != StatusSnapshotting {
		return success(http.StatusAccepted, sess.down())
	}
	return success(http.StatusAccepted, sess.view())
}

// lookUp finds a session, or says why it can't.
func (s *Server) lookUp(id string) (*session, answer) {
	if sess := s.sessions[id]; sess != nil {
		return sess, answer{}
	}
	if !isUUID(id) {
		return nil, invalid(issue{[]any{"path", "session_id"}, "Input should be a valid UUID", "uuid_parsing"})
	}
	return nil, refuse(http.StatusNotFound, "Session not found")
}

func isUUID(id string) bool {
	hex := strings.ReplaceAll(id, "-", "")
	return len(hex) == 32 && !strings.ContainsFunc(hex, func(r rune) bool { return !strings.ContainsRune("0123456789abcdefABCDEF", r) })
}

func (s *Server) create(c *call) answer {
	var body struct {
		AgentID      *int64 `json:"agent_id"`
		IdleTimeoutS *int   `json:"idle_timeout_s"`
		Unsafe       *bool  `json:"unsafe"`
		Snapshot     *int64 `json:"resume_from_snapshot_id"`
		Setup        *bool  `json:"is_setup_session"`
	}
	if refusal, refused := c.decode(&body); refused {
		return refusal
	}
	if body.AgentID == nil {
		return invalid(missing("agent_id"))
	}
	if body.IdleTimeoutS != nil && *body.IdleTimeoutS < 1 {
		return invalid(issue{[]any{"body", "idle_timeout_s"}, "Input should be greater than 0", "greater_than"})
	}
	i := slices.IndexFunc(s.agents, func(a agent) bool { return a.id == *body.AgentID })
	if i < 0 {
		return refuse(http.StatusNotFound, "Agent not found")
	}
	if body.Snapshot != nil && !s.hasSnapshot(*body.Snapshot) {
		return refuse(http.StatusNotFound, "Snapshot not found")
	}
	sess := s.newSession(s.agents[i])
	if body.IdleTimeoutS != nil {
		sess.idleSeconds = *body.IdleTimeoutS
	}
	sess.unsafe = body.Unsafe != nil && *body.Unsafe
	sess.setup = body.Setup != nil && *body.Setup
	return success(http.StatusCreated, sess.boot())
}

func (s *Server) hasSnapshot(id int64) bool {
	return slices.ContainsFunc(s.order, func(sess *session) bool {
		return slices.ContainsFunc(sess.snapshots, func(snap snapshot) bool { return snap.id == id })
	})
}

func (s *Server) resume(sess *session, c *call) answer {
	var body struct {
		Unsafe *bool `json:"unsafe"`
	}
	if refusal, refused := c.decode(&body); refused {
		return refusal
	}
	switch {
	case sess.live():
		return refuse(http.StatusConflict, "The session is live")
	case sess.status == StatusError:
		return refuse(http.StatusConflict, "The session has failed")
	case len(sess.snapshots) == 0:
		return refuse(http.StatusConflict, "There is no snapshot to resume from")
	}
	sess.unsafe = body.Unsafe != nil && *body.Unsafe
	return success(http.StatusAccepted, sess.boot())
}

// remove forgets a session and ends its streams.
func (s *Server) remove(sess *session) {
	sess.gone = true
	sess.stopTimers()
	sess.setStatus(StatusTerminated)
	delete(s.sessions, sess.id)
	s.order = slices.DeleteFunc(s.order, func(other *session) bool { return other == sess })
}

func (s *Server) listSnapshots(sess *session, _ *call) answer {
	type view struct {
		ID           int64   `json:"id"`
		ModalImageID string  `json:"modal_image_id"`
		Label        *string `json:"label"`
		CreatedAt    string  `json:"created_at"`
	}
	views := []view{}
	for _, snap := range slices.Backward(sess.snapshots) {
		views = append(views, view{ID: snap.id, ModalImageID: snap.imageID, CreatedAt: stamp(snap.created)})
	}
	return success(http.StatusOK, encode(views))
}

func (s *Server) transcript(sess *session, c *call) answer {
	since, limit := int64(0), int64(1000)
	for _, p := range []struct {
		name  string
		value *int64
		least int64
	}{{"since", &since, 0}, {"limit", &limit, 1}} {
		text := c.Query.Get(p.name)
		if text == "" {
			continue
		}
		n, err := strconv.ParseInt(text, 10, 64)
		if err != nil {
			return invalid(issue{[]any{"query", p.name}, "Input should be a valid integer", "int_parsing"})
		}
		if n < p.least {
			return invalid(issue{[]any{"query", p.name}, fmt.Sprintf("Input should be at least %d", p.least), "greater_than_equal"})
		}
		*p.value = n
	}
	type row struct {
		Seq       int64           `json:"seq"`
		Payload   json.RawMessage `json:"payload"`
		CreatedAt string          `json:"created_at"`
	}
	rows := []row{}
	for _, e := range sess.since(since, int(min(limit, maxTranscriptLimit))) {
		rows = append(rows, row{e.Seq, e.Payload, stamp(e.CreatedAt)})
	}
	return success(http.StatusOK, encode(rows))
}

func (s *Server) agentAnswer(c *call) answer {
	id, err := strconv.ParseInt(c.id, 10, 64)
	if err != nil {
		return invalid(issue{[]any{"path", "agent_id"}, "Input should be a valid integer", "int_parsing"})
	}
	if !slices.ContainsFunc(s.agents, func(a agent) bool { return a.id == id }) {
		return refuse(http.StatusNotFound, "Agent not found")
	}
	const buildKey, imageID = "bk-anyframetest", "im-anyframetest"
	built := stamp(time.Date(2025, 1, 1, 0, 0, 0, 0, time.UTC))
	if c.Op == OpBuildStatus {
		status := map[string]any{
			"agent_id": id, "build_key": buildKey, "state": "succeeded", "started_at": built,
			"finished_at": built, "error": nil, "built_image_id": imageID,
		}
		if s.noImage {
			status = map[string]any{
				"agent_id": id, "build_key": nil, "state": nil, "started_at": nil,
				"finished_at": nil, "error": nil, "built_image_id": nil,
			}
		}
		return success(http.StatusOK, encode(status))
	}
	detail := map[string]any{
		"id": id, "name": "Scripted agent", "description": nil, "system_prompt": nil, "runtime": "claude",
		"repo_url": nil, "repo_ref": nil, "install_cmd": nil, "serve_cmd": nil, "preview_ports": []int{},
		"build_key": buildKey, "permissions": map[string]any{}, "env_vars": map[string]string{},
		"warmup_image_id": nil, "created_at": built, "updated_at": built,
		"skills": []any{}, "mcps": []any{}, "connectors": []any{},
		"image": map[string]any{"build_key": buildKey, "modal_image_id": imageID, "built_at": built},
	}
	if s.noImage {
		detail["build_key"], detail["image"] = nil, nil
	}
	return success(http.StatusOK, encode(detail))
}
