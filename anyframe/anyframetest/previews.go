package anyframetest

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"time"
)

// Statuses of a preview.
const (
	previewStarting = "starting"
	previewRunning  = "running"
	previewPaused   = "paused"
	previewStopped  = "stopped"
	previewError    = "error"
)

const (
	firstFreePort = 3000
	defaultTail   = 200
)

// A preview is a server in a sandbox with a public port.
type preview struct {
	port     int
	name     string
	cmd      string
	status   string
	url      string // "" unless it is running
	started  time.Time
	exitCode *int
	log      []string
}

// up reports whether the preview is running or will run automatically.
func (p *preview) up() bool {
	return p.status == previewStarting || p.status == previewRunning || p.status == previewPaused
}

// A previewSpec is a request to start a preview.
type previewSpec struct {
	cmd, name string
	port      int
}

func (s *Server) previewAction(sess *session, c *call) answer {
	f := c.form()
	f.require("action")
	action := f.choice("action", "list", "start", "stop", "status", "logs", "batch_start")
	if f.bad() {
		return f.refusal()
	}
	if action == "list" {
		return success(http.StatusOK, encode(previewViews(sess.previews)))
	}
	if sess.status != StatusRunning {
		return refuse(http.StatusConflict, "The session is not running")
	}
	switch action {
	case "start":
		return sess.startPreview(f)
	case "batch_start":
		return sess.startPreviews(f)
	default:
		return sess.onPreview(f, action)
	}
}

// spec decodes the spec of one preview.
func (f *form) spec() previewSpec {
	spec := previewSpec{cmd: f.word("cmd"), port: f.port("port")}
	if f.has("name") {
		spec.name = f.word("name")
	}
	return spec
}

func (sess *session) startPreview(f *form) answer {
	spec := f.spec()
	if f.bad() {
		return f.refusal()
	}
	if p := sess.running(spec); p != nil {
		view := p.result()
		view["already_open"] = true
		return success(http.StatusOK, encode(view))
	}
	added, restart, failure := sess.plan([]previewSpec{spec})
	if failure != "" {
		return success(http.StatusOK, encode(failedPreview(failure)))
	}
	sess.launch(added, restart)
	view := added[0].result()
	view["restart_pending"] = restart
	if restart {
		sess.restart()
	}
	return success(http.StatusOK, encode(view))
}

// startPreviews starts all previews or none.
func (sess *session) startPreviews(f *form) answer {
	var list []json.RawMessage
	f.require("previews")
	f.read("previews", "list", "list_type", &list)
	var specs []previewSpec
	var open []*preview
	for i, raw := range list {
		one := &form{loc: slices.Concat(f.loc, []any{"previews", i}), issues: f.issues}
		if err := json.Unmarshal(raw, &one.values); err != nil || one.values == nil {
			f.complain("Input should be a valid dictionary", "dict_type", "previews", i)
			continue
		}
		spec := one.spec()
		if p := sess.running(spec); p != nil {
			open = append(open, p)
		} else {
			specs = append(specs, spec)
		}
	}
	if f.bad() {
		return f.refusal()
	}
	added, restart, failure := sess.plan(specs)
	if failure != "" {
		return success(http.StatusOK, encode(map[string]any{
			"ok": false, "restart_pending": false, "previews": []any{}, "error": failure,
		}))
	}
	sess.launch(added, restart)
	view := encode(map[string]any{
		"ok": true, "restart_pending": restart, "previews": previewViews(append(open, added...)), "error": nil,
	})
	if restart {
		sess.restart()
	}
	return success(http.StatusOK, view)
}

// running returns the preview that matches the spec, or nil.
func (sess *session) running(spec previewSpec) *preview {
	i := slices.IndexFunc(sess.previews, func(p *preview) bool {
		return p.up() && p.cmd == spec.cmd && (spec.port != 0 || spec.name != "") &&
			(spec.port == 0 || p.port == spec.port) && (spec.name == "" || p.name == spec.name)
	})
	if i < 0 {
		return nil
	}
	return sess.previews[i]
}

// plan assigns each spec a port and a name. It reports whether a port is new, so
// that the sandbox must restart, or returns an error.
func (sess *session) plan(specs []previewSpec) (added []*preview, restart bool, failure string) {
	taken := func(port int) bool {
		same := func(p *preview) bool { return p.up() && p.port == port }
		return slices.ContainsFunc(sess.previews, same) || slices.ContainsFunc(added, same) ||
			slices.ContainsFunc(specs, func(spec previewSpec) bool { return spec.port == port })
	}
	opened := append(slices.Clone(sess.agent.previewPorts), sess.ports...)
	for _, spec := range specs {
		port := spec.port
		if port == 0 {
			if i := slices.IndexFunc(opened, func(port int) bool { return !taken(port) }); i >= 0 {
				port = opened[i]
			} else {
				port = firstFreePort
				for taken(port) {
					port++
				}
			}
		}
		p := &preview{port: port, name: spec.name, cmd: spec.cmd, status: previewStarting}
		if p.name == "" {
			p.name = "preview-" + strconv.Itoa(port)
		}
		for _, other := range slices.Concat(sess.previews, added) {
			if other.up() && other.port == port {
				return nil, false, fmt.Sprintf("Port %d is used by %s", port, other.name)
			}
			if other.up() && other.name == p.name {
				return nil, false, fmt.Sprintf("The name %s is used by port %d", p.name, other.port)
			}
		}
		restart = restart || !slices.Contains(opened, port)
		added = append(added, p)
	}
	return added, restart, ""
}

// launch adds the previews and replaces those with the same ports or names.
func (sess *session) launch(added []*preview, restart bool) {
	for _, p := range added {
		sess.previews = slices.DeleteFunc(sess.previews, func(other *preview) bool {
			return other.port == p.port || other.name == p.name
		})
		sess.previews = append(sess.previews, p)
		if !slices.Contains(sess.ports, p.port) {
			sess.ports = append(sess.ports, p.port)
		}
		p.started = time.Now()
		if !restart {
			sess.serve(p)
		}
	}
	sess.touch()
	sess.server.notify()
}

// serve makes a preview reachable.
func (sess *session) serve(p *preview) {
	p.status = previewRunning
	p.url = sess.server.secret(fmt.Sprintf("https://%d-%s.preview.anyframe.test", p.port, sess.sandboxID))
	p.log = append(p.log, "$ "+p.cmd, fmt.Sprintf("listening on port %d", p.port))
}

// restart ends the sandbox, with the turn and the streams in it, and boots another
// from its state.
func (sess *session) restart() {
	sess.setStatus(StatusSnapshotting)
	for st := range sess.streams {
		st.stop(false)
	}
	sess.boot()
}

// pausePreviews and wakePreviews follow the state of the sandbox.
func (sess *session) pausePreviews() {
	for _, p := range sess.previews {
		if p.status == previewRunning {
			p.status, p.url = previewPaused, ""
		}
	}
}

func (sess *session) wakePreviews() {
	for _, p := range sess.previews {
		if p.status == previewPaused || p.status == previewStarting {
			p.started = time.Now()
			sess.serve(p)
		}
	}
}

// onPreview applies an action to one preview, given by port or name.
func (sess *session) onPreview(f *form, action string) answer {
	port, tail := f.port("port"), defaultTail
	name := f.text("name")
	if f.read("tail", "integer", "int_type", &tail) && tail < 1 {
		f.complain("Input should be at least 1", "greater_than_equal", "tail")
	}
	if port == 0 && name == nil && !f.bad() {
		f.complain("Give a port or a name", "missing", "port")
	}
	if f.bad() {
		return f.refusal()
	}
	i := slices.IndexFunc(sess.previews, func(p *preview) bool {
		return (port == 0 || p.port == port) && (name == nil || p.name == *name)
	})
	if i < 0 {
		return success(http.StatusOK, encode(failedPreview("There is no such preview")))
	}
	p := sess.previews[i]
	if action == "logs" {
		return success(http.StatusOK, encode(map[string]any{"lines": append([]string{}, p.log[max(0, len(p.log)-tail):]...)}))
	}
	if action == "stop" && p.up() {
		p.status, p.url = previewStopped, ""
		sess.server.notify()
	}
	return success(http.StatusOK, encode(p.result()))
}

func failedPreview(failure string) map[string]any {
	return map[string]any{
		"ok": false, "port": nil, "name": nil, "url": nil, "status": nil,
		"restart_pending": false, "already_open": false, "error": failure,
	}
}

func (p *preview) result() map[string]any {
	return map[string]any{
		"ok": true, "port": p.port, "name": p.name, "url": textOrNull(p.url), "status": p.status,
		"restart_pending": false, "already_open": false, "error": nil,
	}
}

func previewViews(previews []*preview) []any {
	views := []any{}
	for _, p := range previews {
		views = append(views, map[string]any{
			"port": p.port, "name": p.name, "cmd": p.cmd, "status": p.status, "url": textOrNull(p.url),
			"started_at": float64(p.started.UnixMicro()) / 1e6, "exit_code": p.exitCode,
		})
	}
	return views
}

// onPort runs fn, which changes the preview on that port.
func (s *Server) onPort(id string, port int, fn func(*preview)) (found bool) {
	s.on(id, func(sess *session) {
		for _, p := range sess.previews {
			if p.port == port {
				fn(p)
				found = true
			}
		}
	})
	return found
}

// LogPreview adds lines to the output of the preview on a port. It reports whether
// there is one.
func (s *Server) LogPreview(id string, port int, lines ...string) bool {
	return s.onPort(id, port, func(p *preview) { p.log = append(p.log, lines...) })
}

// ExitPreview ends the preview on a port with an exit code: with 0 its status is
// stopped, otherwise error. It reports whether there is one.
func (s *Server) ExitPreview(id string, port, code int) bool {
	return s.onPort(id, port, func(p *preview) {
		p.status, p.url, p.exitCode = previewStopped, "", &code
		if code != 0 {
			p.status = previewError
		}
	})
}
