package anyframe

import (
	"context"
	"errors"
	"fmt"
)

// defaultBuildsLimit is the default limit of Builds.
const defaultBuildsLimit = 20

// Build builds the agent's image. If an image for its repository, ref and install
// command exists or is being built, Queued is false and Reason gives the reason.
func (s *AgentsService) Build(
	ctx context.Context, agentID int64, p BuildParams, opts ...CallOption,
) (*BuildQueued, error) {
	return fetch[BuildQueued](ctx, s.client, post("/api/agents/{agent_id}/build", agentID).json(p), opts)
}

// BuildStatus returns the status of the agent's latest build. Right after
// [AgentsService.Build] that may still be the previous build.
func (s *AgentsService) BuildStatus(ctx context.Context, agentID int64, opts ...CallOption) (*BuildStatus, error) {
	return fetch[BuildStatus](ctx, s.client, get("/api/agents/{agent_id}/build/status", agentID), opts)
}

// Builds returns up to limit of the agent's builds, the newest first. A limit of 0
// or less means 20.
func (s *AgentsService) Builds(ctx context.Context, agentID int64, limit int, opts ...CallOption) ([]Build, error) {
	if limit <= 0 {
		limit = defaultBuildsLimit
	}
	r := get("/api/agents/{agent_id}/builds", agentID).ask("limit", int64(limit))
	return fetchList[Build](ctx, s.client, r, opts)
}

// BuildLogURL returns a temporary URL of a build's whole log, which needs no key.
func (s *AgentsService) BuildLogURL(
	ctx context.Context, agentID, buildID int64, opts ...CallOption,
) (*LogURL, error) {
	r := get("/api/agents/{agent_id}/builds/{build_id}/log_url", agentID, buildID)
	return fetch[LogURL](ctx, s.client, r, opts)
}

// WaitForBuild polls the build status, immediately and then every Interval, until
// the build has succeeded. It returns a [*BuildFailedError] for a failed or
// canceled build, and a [*WaitTimeoutError] on timeout. An agent with an image and
// no build counts as built. WaitForBuild continues on any other state, and after
// one failed poll between two successful ones.
//
// The status does not identify its build, so right after [AgentsService.Build] it
// may be the previous one's. Use [AgentsService.BuildAndWait] to wait for a
// specific build.
func (s *AgentsService) WaitForBuild(
	ctx context.Context, agentID int64, o WaitOptions, opts ...CallOption,
) (*BuildStatus, error) {
	w := s.newWaiter(ctx, agentID, o, opts)
	defer w.cancel()
	return w.until(built)
}

// BuildAndWait calls [AgentsService.Build] and waits for that build, as
// [AgentsService.WaitForBuild] does. If nothing was queued, it waits only if a
// build is running. Otherwise it returns immediately: the status of the existing
// image, a status with an empty State for an agent that needs no image, or a
// [*BuildFailedError] if there is no image because its build failed.
func (s *AgentsService) BuildAndWait(
	ctx context.Context, agentID int64, p BuildParams, o WaitOptions, opts ...CallOption,
) (*BuildStatus, error) {
	looks := also(opts, bodyless)
	w := s.newWaiter(ctx, agentID, o, looks)
	defer w.cancel()
	queued, err := s.Build(w.ctx, agentID, p, opts...)
	if err != nil {
		return nil, w.explain(err)
	}
	if queued.Queued {
		look := w.look
		w.look = func(ctx context.Context) (*BuildStatus, error) {
			status, err := look(ctx)
			if err != nil || !status.State.terminal() && status.BuiltImageID == "" {
				return status, err
			}
			return s.confirm(ctx, agentID, status, queued, looks)
		}
		return w.until(built)
	}
	return w.until(func(status *BuildStatus) (bool, error) {
		switch {
		case status.State == BuildStateQueued || status.State == BuildStateRunning:
			return false, nil
		case status.BuiltImageID != "" || status.State == "":
			return true, nil // a later failure does not remove the image
		}
		return built(status)
	})
}

// confirm makes sure that a final status belongs to the queued build and not to an
// earlier one. Otherwise the data of the queued build replaces it.
func (s *AgentsService) confirm(
	ctx context.Context, agentID int64, status *BuildStatus, queued *BuildQueued, opts []CallOption,
) (*BuildStatus, error) {
	builds, err := s.Builds(ctx, agentID, 0, opts...)
	if err != nil && !errors.Is(err, ErrNotFound) {
		return nil, err
	}
	b := queued.find(builds)
	if b == nil {
		sameKey := status.BuildKey == queued.BuildKey || status.BuildKey == "" || queued.BuildKey == ""
		if status.State.terminal() && sameKey {
			return status, nil // no better information is available
		}
		return &BuildStatus{AgentID: agentID, BuildKey: queued.BuildKey, State: BuildStateQueued}, nil
	}
	if b.State == status.State && (b.FinishedAt.Equal(status.FinishedAt.Time) || status.FinishedAt.IsZero()) {
		return status, nil
	}
	return &BuildStatus{
		AgentID: agentID, BuildKey: b.BuildKey, State: b.State,
		StartedAt: b.StartedAt, FinishedAt: b.FinishedAt, Error: b.Error,
	}, nil
}

// find returns the queued build, nil if it is not listed. Without an id it is the
// newest build for the same image.
func (q *BuildQueued) find(builds []Build) *Build {
	for i, b := range builds {
		if q.BuildID != nil && b.ID == *q.BuildID {
			return &builds[i]
		}
		if q.BuildID == nil && (b.BuildKey == q.BuildKey || q.BuildKey == "") {
			return &builds[i]
		}
	}
	return nil
}

func (s *AgentsService) newWaiter(
	ctx context.Context, agentID int64, o WaitOptions, opts []CallOption,
) *waiter[BuildStatus] {
	w := &waiter[BuildStatus]{
		client: s.client, what: fmt.Sprintf("build of agent %d", agentID),
		look:   func(ctx context.Context) (*BuildStatus, error) { return s.BuildStatus(ctx, agentID, opts...) },
		status: func(status *BuildStatus) string { return string(status.State) },
	}
	w.begin(ctx, o, defaultBuildWait, defaultBuildInterval)
	return w
}

// built reports whether the build succeeded, or returns its failure.
func built(status *BuildStatus) (bool, error) {
	switch status.State {
	case BuildStateSucceeded:
		return true, nil
	case BuildStateFailed, BuildStateCancelled:
		return false, &BuildFailedError{Status: status}
	case "":
		return status.BuiltImageID != "", nil
	case BuildStateQueued, BuildStateRunning:
	}
	return false, nil
}

// BuildFailedError reports a build that failed or was canceled.
type BuildFailedError struct{ Status *BuildStatus }

// Error contains the build's error.
func (e *BuildFailedError) Error() string {
	switch {
	case e.Status == nil:
		return "anyframe: build failed"
	case e.Status.Error == "":
		return fmt.Sprintf("anyframe: build of agent %d: %s", e.Status.AgentID, e.Status.State)
	}
	return fmt.Sprintf("anyframe: build of agent %d: %s: %s", e.Status.AgentID, e.Status.State, withoutKeys(e.Status.Error))
}

// BuildState is the state of a build. Like [SessionStatus], it is an open type.
type BuildState string

// The known states. "" means that there is no build.
const (
	BuildStateQueued    BuildState = "queued"
	BuildStateRunning   BuildState = "running"
	BuildStateSucceeded BuildState = "succeeded"
	BuildStateFailed    BuildState = "failed"
	BuildStateCancelled BuildState = "cancelled"
)

// Known reports whether s is one of the constants.
func (s BuildState) Known() bool {
	return s == BuildStateQueued || s == BuildStateRunning || s.terminal()
}

// terminal reports whether the build has ended.
func (s BuildState) terminal() bool {
	return s == BuildStateSucceeded || s == BuildStateFailed || s == BuildStateCancelled
}

// BuildParams are options of a build. The zero value is valid.
type BuildParams struct {
	Force bool `json:"force"` // builds even if there is an image
}

// BuildQueued is the response to [AgentsService.Build].
type BuildQueued struct {
	AgentID  int64  `json:"agent_id"`
	BuildKey string `json:"build_key"`
	Queued   bool   `json:"queued"`
	Reason   string `json:"reason"`   // why Queued is false
	BuildID  *int64 `json:"build_id"` // nil if nothing was queued
}

// BuildStatus is the status of an agent's latest build.
type BuildStatus struct {
	AgentID      int64      `json:"agent_id"`
	BuildKey     string     `json:"build_key"`
	State        BuildState `json:"state"` // "" if there was none
	StartedAt    Time       `json:"started_at"`
	FinishedAt   Time       `json:"finished_at"`
	Error        string     `json:"error"`
	BuiltImageID string     `json:"built_image_id"` // "" while there is no image
}

// Build is one build of an agent's image.
type Build struct {
	ID         int64      `json:"id"`
	BuildKey   string     `json:"build_key"`
	State      BuildState `json:"state"`
	StartedAt  Time       `json:"started_at"`
	FinishedAt Time       `json:"finished_at"`
	Error      string     `json:"error"`
	LogSize    *int64     `json:"log_size"` // bytes; nil if unknown
}

// LogURL is a signed URL that works without a key until it expires.
type LogURL struct {
	URL       string `json:"url"`
	ExpiresIn int    `json:"expires_in"` // seconds
}
