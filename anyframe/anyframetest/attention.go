package anyframetest

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"time"
)

const (
	maxAttentionLimit = 100
	pausedFor         = 24 * time.Hour
	maxSummary        = 120 // runes
)

// attention lists the sessions that wait for their operator: first those whose
// agent waits for an answer, then those that wait for a message, then those that
// went to sleep within a day; the newest of each kind first.
func (s *Server) attention(c *call) answer {
	limit, wrong := c.number("limit", 20)
	if wrong != nil {
		return invalid(*wrong)
	}
	type entry struct {
		at   time.Time
		view map[string]any
	}
	var pending, idle, paused []entry
	for _, sess := range s.order {
		view := map[string]any{"session_id": sess.id, "agent_id": sess.agent.id, "agent_name": sess.agent.name}
		add := func(to *[]entry, kind string, at time.Time) {
			view["kind"], view["at"] = kind, stamp(at)
			*to = append(*to, entry{at, view})
		}
		i := slices.IndexFunc(sess.prompts, func(p *prompt) bool { return !p.settled })
		switch {
		case i >= 0:
			p := sess.prompts[i]
			view["session_status"], view["seq"], view["preview"] = sess.status, p.event.seq, textOrNull(p.summary)
			view["payload"] = json.RawMessage(p.event.payload)
			add(&pending, "pending", time.UnixMicro(p.event.at))
		case sess.status == StatusRunning && !sess.box.busy:
			view["preview"] = textOrNull(sess.said)
			add(&idle, "idle", sess.lastActive)
		case (sess.status == StatusTerminated || sess.status == StatusPaused) && time.Since(sess.stopped) < pausedFor:
			view["snapshot_image_id"] = textOrNull(sess.snapshotImage())
			add(&paused, "paused", sess.stopped)
		}
	}
	views := []any{}
	for _, group := range [][]entry{pending, idle, paused} {
		slices.SortStableFunc(group, func(a, b entry) int { return b.at.Compare(a.at) })
		for _, e := range group {
			views = append(views, e.view)
		}
	}
	return success(http.StatusOK, encode(views[:min(len(views), clamp(limit, maxAttentionLimit))]))
}

// summary returns a shortened text in one line.
func summary(text string) string {
	line := []rune(strings.Join(strings.Fields(text), " "))
	if len(line) > maxSummary {
		line = append(line[:maxSummary-1], '…')
	}
	return string(line)
}
