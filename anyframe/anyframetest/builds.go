package anyframetest

import (
	"crypto/rand"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

// States of a build in the API. [Server.SetBuildState] also accepts any other.
const (
	buildQueued    = "queued"
	buildRunning   = "running"
	buildSucceeded = "succeeded"
	buildFailed    = "failed"
	buildCancelled = "cancelled"
)

const (
	maxBuildsLimit = 100
	logURLLife     = time.Hour
)

// A build is one run that builds an image, with its log. The server's mutex guards
// it.
type build struct {
	journal
	id       int64
	agent    *agent
	key      string
	state    string
	err      string
	log      strings.Builder // lines, each with its end
	started  time.Time
	finished time.Time // zero until it has finished
	stop     func()    // stops the timer of the next step; nil without one
}

func (b *build) number() int64 { return b.id }

func (b *build) over() bool { return !b.finished.IsZero() }

func (b *build) stopTimer() {
	if b.stop != nil {
		b.stop()
		b.stop = nil
	}
}

// newBuild adds a queued build.
func (s *Server) newBuild(a *agent) *build {
	b := &build{
		journal: newJournal(), id: s.newNumber(), agent: a, key: a.cacheKey(), state: buildQueued, started: time.Now(),
	}
	b.more = func() bool { return !b.over() }
	a.builds = append(a.builds, b)
	return b
}

func (s *Server) startBuild(a *agent, c *call) answer {
	f := c.form()
	force := f.flag("force", false)
	if f.bad() {
		return f.refusal()
	}
	view := map[string]any{"agent_id": a.id, "build_key": a.cacheKey(), "queued": false, "reason": nil, "build_id": nil}
	_, cached := s.images[a.cacheKey()]
	if n := len(a.builds); n > 0 && !a.builds[n-1].over() {
		view["reason"], view["build_id"] = "A build is running", a.builds[n-1].id
	} else if cached && !force {
		view["reason"] = "The image is cached"
	} else {
		b := s.newBuild(a)
		view["queued"], view["build_id"] = true, b.id
		s.in(b, s.buildDelay/4, func() { s.runBuild(b) })
	}
	s.notify()
	return success(http.StatusAccepted, encode(view))
}

// in runs fn after d, or immediately if d is 0.
func (s *Server) in(b *build, d time.Duration, fn func()) {
	if d <= 0 {
		fn()
		return
	}
	b.stop = s.after(d, func() {
		b.stop = nil
		fn()
	})
}

// runBuild writes the log, line by line, and finishes the build.
func (s *Server) runBuild(b *build) {
	b.state = buildRunning
	lines := s.linesOf(b.agent)
	pause := s.buildDelay * 3 / 4 / time.Duration(max(1, len(lines)))
	var step func()
	step = func() {
		if len(lines) == 0 {
			s.endBuild(b)
			return
		}
		b.line(lines[0])
		lines = lines[1:]
		s.notify()
		s.in(b, pause, step)
	}
	step()
}

// linesOf returns the log lines of a build of the agent.
func (s *Server) linesOf(a *agent) []string {
	if s.buildLines != nil {
		return s.buildLines
	}
	lines := []string{"Starting from the base image"}
	if a.repoURL != nil && *a.repoURL != "" {
		from := "Cloning " + *a.repoURL
		if a.repoRef != nil {
			from += " at " + *a.repoRef
		}
		lines = append(lines, from)
	}
	if a.installCmd != nil && *a.installCmd != "" {
		lines = append(lines, "Running "+*a.installCmd)
	}
	return append(lines, "Exporting the image")
}

// endBuild finishes a build normally, or as [Server.FailBuilds] requests.
func (s *Server) endBuild(b *build) {
	if s.failBuilds > 0 {
		s.failBuilds--
		s.finishBuild(b, buildFailed, "The install command ended with status 1")
		return
	}
	s.finishBuild(b, buildSucceeded, "")
}

// finishBuild ends a build and its streams.
func (s *Server) finishBuild(b *build, state, failure string) {
	b.stopTimer()
	b.state, b.err, b.finished = state, failure, time.Now()
	if state == buildSucceeded {
		s.images[b.key] = image{id: s.secret(newID("im-")), built: b.finished}
	}
	b.feed = append(b.feed, item{name: stateEvent, at: b.finished.UnixMicro(), payload: encode(map[string]string{"state": state})})
	b.wakeStreams()
	s.notify()
}

// dropBuild ends a build whose agent is deleted.
func (s *Server) dropBuild(b *build) {
	if !b.over() {
		s.finishBuild(b, buildCancelled, "")
	}
	for signature, other := range s.buildLogs {
		if other == b {
			delete(s.buildLogs, signature)
		}
	}
}

// line adds a line to the log. Its offset is its position in the log, in bytes.
func (b *build) line(text string) {
	payload := encode(map[string]any{"offset": b.log.Len(), "content": text})
	b.log.WriteString(text + "\n")
	b.feed = append(b.feed, item{name: lineEvent, at: time.Now().UnixMicro(), payload: payload})
	b.wakeStreams()
}

// buildStatus is the status of the newest build. An agent that was never built has
// no state, even if another agent's image fits it.
func (s *Server) buildStatus(a *agent, _ *call) answer {
	view := map[string]any{
		"agent_id": a.id, "build_key": s.buildKey(a), "state": nil, "started_at": nil,
		"finished_at": nil, "error": nil, "built_image_id": nil,
	}
	if img, built := s.images[a.cacheKey()]; built {
		view["built_image_id"] = img.id
	}
	if n := len(a.builds); n > 0 {
		b := a.builds[n-1]
		view["build_key"], view["state"], view["error"] = b.key, b.state, textOrNull(b.err)
		view["started_at"], view["finished_at"] = stamp(b.started), stampOrNull(b.finished)
	}
	return success(http.StatusOK, encode(view))
}

func (s *Server) listBuilds(a *agent, c *call) answer {
	limit, wrong := c.number("limit", 20)
	if wrong != nil {
		return invalid(*wrong)
	}
	newest := slices.Clone(a.builds)
	slices.Reverse(newest)
	return answerList(newest[:min(len(newest), clamp(limit, maxBuildsLimit))], func(b *build) any { return b.view() })
}

// clamp limits a value to the range from 1 to most.
func clamp(limit, most int64) int { return int(max(1, min(limit, most))) }

func (b *build) view() map[string]any {
	view := map[string]any{
		"id": b.id, "build_key": b.key, "state": b.state, "started_at": stamp(b.started),
		"finished_at": stampOrNull(b.finished), "error": textOrNull(b.err), "log_size": nil,
	}
	if b.over() {
		view["log_size"] = b.log.Len()
	}
	return view
}

// buildLogURL signs a URL of this server, with the host of the request. The URL
// needs no key and never expires.
func (s *Server) buildLogURL(a *agent, c *call) answer {
	_, b, refusal := find(c, 1, "Build", a.builds)
	if b == nil {
		return refusal
	}
	signature := rand.Text()
	s.buildLogs[signature] = b
	u := url.URL{Scheme: "http", Host: c.host, Path: "/build-logs/" + signature}
	return success(http.StatusOK, encode(map[string]any{"url": s.secret(u.String()), "expires_in": int(logURLLife.Seconds())}))
}

func (s *Server) buildLog(c *call) answer {
	b := s.buildLogs[c.id]
	if b == nil {
		return refuse(http.StatusNotFound, "Not Found")
	}
	return answer{
		status: http.StatusOK, header: http.Header{"Content-Type": {"text/plain; charset=utf-8"}}, body: []byte(b.log.String()),
	}
}

// FailBuilds makes the next n builds, including running ones, end in state failed.
func (s *Server) FailBuilds(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.failBuilds = n
}

// onBuild runs fn, which changes the build, unless there is no such build or it has
// ended. It reports whether it ran.
func (s *Server) onBuild(id int64, fn func(*build)) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, a := range s.agents {
		for _, b := range a.builds {
			if b.id == id && !b.over() && !s.closed {
				fn(b)
				s.notify()
				return true
			}
		}
	}
	return false
}

// LogBuild adds a line to the log of a build. It reports whether the build exists
// and has not ended.
func (s *Server) LogBuild(id int64, line string) bool {
	return s.onBuild(id, func(b *build) { b.line(line) })
}

// SetBuildState gives an unfinished build any state, including one that AnyFrame
// does not have. The states succeeded, failed and cancelled end it; after any other
// state nothing happens automatically. It reports whether there is such a build.
func (s *Server) SetBuildState(id int64, state string) bool {
	return s.onBuild(id, func(b *build) {
		b.stopTimer()
		switch state {
		case buildFailed:
			s.finishBuild(b, state, "The build failed")
		case buildSucceeded, buildCancelled:
			s.finishBuild(b, state, "")
		default:
			b.state = state
		}
	})
}
