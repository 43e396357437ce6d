package anyframetest

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"
)

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

// lookUp finds a session, or returns an error.
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
	if issues := c.decode(&body); issues != nil {
		return invalid(issues...)
	}
	if body.AgentID == nil {
		return invalid(missing("agent_id"))
	}
	if body.IdleTimeoutS != nil && *body.IdleTimeoutS < 1 {
		return invalid(issue{[]any{"body", "idle_timeout_s"}, "Input should be greater than 0", "greater_than"})
	}
	i := slices.IndexFunc(s.agents, func(a *agent) bool { return a.id == *body.AgentID })
	if i < 0 {
		return refuse(http.StatusNotFound, "Agent not found")
	}
	if body.Snapshot != nil && !s.hasSnapshot(s.agents[i], *body.Snapshot) {
		return refuse(http.StatusNotFound, "Snapshot not found")
	}
	sess := s.newSession(s.agents[i])
	if body.IdleTimeoutS != nil {
		sess.idleSeconds = *body.IdleTimeoutS
	}
	sess.unsafe = body.Unsafe != nil && *body.Unsafe
	sess.setup = body.Setup != nil && *body.Setup
	if body.Snapshot != nil {
		sess.from = *body.Snapshot
	}
	return success(http.StatusAccepted, sess.boot())
}

func (s *Server) hasSnapshot(a *agent, id int64) bool {
	return slices.ContainsFunc(s.order, func(sess *session) bool {
		return sess.agent == a && slices.ContainsFunc(sess.snapshots, func(snap snapshot) bool { return snap.id == id })
	})
}

func (s *Server) resume(sess *session, c *call) answer {
	var body struct {
		Unsafe *bool `json:"unsafe"`
	}
	if issues := c.decode(&body); issues != nil {
		return invalid(issues...)
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

// remove deletes a session and ends its streams.
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
		n, wrong := c.number(p.name, *p.value)
		if wrong != nil {
			return invalid(*wrong)
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

// saveAsBase makes the sandbox of a setup session the base of the agent's sessions.
func (s *Server) saveAsBase(sess *session, _ *call) answer {
	switch {
	case !sess.setup:
		return refuse(http.StatusBadRequest, "The session is not a setup session")
	case sess.status != StatusRunning:
		return refuse(http.StatusConflict, "The session is not running")
	}
	sess.agent.warmupImage = s.secret(newID("im-"))
	sess.agent.updated = time.Now()
	hash := sha256.Sum256([]byte(sess.agent.cacheKey()))
	return success(http.StatusOK, encode(map[string]any{
		"warmup_image_id": sess.agent.warmupImage, "warmup_inputs_hash": fmt.Sprintf("sha256:%x", hash),
	}))
}
