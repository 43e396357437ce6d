package anyframe

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/anyframe-relay/relay/anyframe/internal/loose"
)

// PreviewsService manages the servers that run inside a session's sandbox and are
// reachable from outside; see [SessionsService].Previews.
//
// If the sandbox could not carry out an action, the call returns no error: OK is
// false, and Error gives the reason.
type PreviewsService struct{ client *Client }

// List returns the session's previews.
func (s *PreviewsService) List(ctx context.Context, sessionID string, opts ...CallOption) ([]Preview, error) {
	return fetchList[Preview](ctx, s.client, previews(sessionID).json(previewAction{Action: "list"}).reading(), opts)
}

// Start runs a command. Without a port the server uses one of the agent's
// PreviewPorts, or a new one. In the second case the sandbox restarts and
// RestartPending is true.
func (s *PreviewsService) Start(
	ctx context.Context, sessionID string, p PreviewSpec, opts ...CallOption,
) (*PreviewActionResult, error) {
	r := previews(sessionID).require("cmd", p.Cmd != "").json(struct {
		Action string `json:"action"`
		PreviewSpec
	}{"start", p})
	return fetch[PreviewActionResult](ctx, s.client, r, opts)
}

// Stop stops a preview.
func (s *PreviewsService) Stop(
	ctx context.Context, sessionID string, which PreviewRef, opts ...CallOption,
) (*PreviewActionResult, error) {
	r := previews(sessionID).json(previewAction{Action: "stop", PreviewRef: which})
	return fetch[PreviewActionResult](ctx, s.client, r, opts)
}

// Status returns the state of a preview.
func (s *PreviewsService) Status(
	ctx context.Context, sessionID string, which PreviewRef, opts ...CallOption,
) (*PreviewActionResult, error) {
	r := previews(sessionID).json(previewAction{Action: "status", PreviewRef: which}).reading()
	return fetch[PreviewActionResult](ctx, s.client, r, opts)
}

// Logs returns the last lines of a preview's output. tail is their number; 0 or
// less means 200.
func (s *PreviewsService) Logs(
	ctx context.Context, sessionID string, which PreviewRef, tail int, opts ...CallOption,
) (*PreviewLogs, error) {
	const defaultTail = 200
	if tail <= 0 {
		tail = defaultTail
	}
	r := previews(sessionID).json(struct {
		previewAction
		Tail int `json:"tail"`
	}{previewAction{Action: "logs", PreviewRef: which}, tail}).reading()
	raw, err := fetchRaw(ctx, s.client, r, opts)
	if err != nil {
		return nil, err
	}
	return newPreviewLogs(raw), nil
}

// BatchStart runs several commands, with at most one restart of the sandbox.
func (s *PreviewsService) BatchStart(
	ctx context.Context, sessionID string, specs []PreviewSpec, opts ...CallOption,
) (*PreviewBatchResult, error) {
	r := previews(sessionID)
	for i, p := range specs {
		r = r.require(fmt.Sprintf("previews[%d].cmd", i), p.Cmd != "")
	}
	r = r.json(struct {
		Action   string        `json:"action"`
		Previews []PreviewSpec `json:"previews"`
	}{"batch_start", append([]PreviewSpec{}, specs...)}) // never null
	return fetch[PreviewBatchResult](ctx, s.client, r, opts)
}

// previews requests one of the actions, which share a method and a path.
func previews(sessionID string) request {
	return post("/api/sessions/{session_id}/previews", sessionID)
}

type previewAction struct {
	Action string `json:"action"`
	PreviewRef
}

// PreviewRef identifies a preview by its port or by its name; set one.
type PreviewRef struct {
	Port *int    `json:"port,omitzero"`
	Name *string `json:"name,omitzero"`
}

// PreviewSpec is a preview to start.
type PreviewSpec struct {
	Cmd  string  `json:"cmd"`           // required
	Port *int    `json:"port,omitzero"` // nil lets the server choose
	Name *string `json:"name,omitzero"`
}

// PreviewStatus is the state of a preview. Like [SessionStatus], it is an open
// type.
type PreviewStatus string

// The known preview statuses.
const (
	PreviewStarting PreviewStatus = "starting"
	PreviewRunning  PreviewStatus = "running"
	PreviewPaused   PreviewStatus = "paused"
	PreviewStopped  PreviewStatus = "stopped"
	PreviewError    PreviewStatus = "error"
)

// Known reports whether s is one of the constants.
func (s PreviewStatus) Known() bool {
	switch s {
	case PreviewStarting, PreviewRunning, PreviewPaused, PreviewStopped, PreviewError:
		return true
	}
	return false
}

// Preview is a server that runs inside a session's sandbox.
type Preview struct {
	Port      int           `json:"port"`
	Name      string        `json:"name"`
	Cmd       string        `json:"cmd"`
	Status    PreviewStatus `json:"status"`
	URL       string        `json:"url"`
	StartedAt Time          `json:"started_at"` // a number of seconds on the wire
	ExitCode  *int          `json:"exit_code"`  // nil while it is running
}

// MarshalJSON writes StartedAt in the API's format.
func (p Preview) MarshalJSON() ([]byte, error) {
	type plain Preview
	var started *float64
	if !p.StartedAt.IsZero() {
		const micro = 1e6
		started = new(float64(p.StartedAt.UnixMicro()) / micro)
	}
	return json.Marshal(struct {
		plain
		StartedAt *float64 `json:"started_at"`
	}{plain(p), started})
}

// PreviewActionResult is the result of an action.
type PreviewActionResult struct {
	OK             bool          `json:"ok"`
	Port           *int          `json:"port"`
	Name           string        `json:"name"`
	URL            string        `json:"url"` // set once the preview is running
	Status         PreviewStatus `json:"status"`
	RestartPending bool          `json:"restart_pending"` // the sandbox restarts to open the port
	AlreadyOpen    bool          `json:"already_open"`
	Error          string        `json:"error"` // why OK is false
}

// PreviewBatchResult is the result of [PreviewsService.BatchStart].
type PreviewBatchResult struct {
	OK             bool      `json:"ok"`
	RestartPending bool      `json:"restart_pending"`
	Previews       []Preview `json:"previews"`
	Error          string    `json:"error"` // why OK is false
}

// PreviewLogs are the last lines of a preview's output.
type PreviewLogs struct {
	Lines []string        // nil if the response has none that can be decoded
	Raw   json.RawMessage // the whole response; nil if it was empty
}

// newPreviewLogs decodes free JSON; anything unexpected is only in Raw.
func newPreviewLogs(raw json.RawMessage) *PreviewLogs {
	var answer struct {
		Lines []string `json:"lines"`
	}
	_ = loose.Object(raw, &answer) // Raw keeps the original
	return &PreviewLogs{Lines: answer.Lines, Raw: raw}
}
