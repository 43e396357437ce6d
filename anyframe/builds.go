package anyframe

import (
	"context"
	"errors"
	"fmt"
)

// defaultBuildsLimit is how many builds are asked for.
const defaultBuildsLimit = 20

// Build has the agent's image built, unless there is one for its repository,
// ref and install command, or it is being built already: then Queued is false
// and Reason says why.
func (s *AgentsService) Build(
	ctx context.Context, agentID int64, p BuildParams, opts ...CallOption,
) (*BuildQueued, error) {
	return fetch[BuildQueued](ctx, s.client, post("/api/agents/{agent_id}/build", agentID).json(p), opts)
}

// BuildStatus returns how the agent's latest build is doing. Right after
// [AgentsService.Build] that may still be the one before.
func (s *AgentsService) BuildStatus(ctx context.Context, agentID int64, opts ...CallOption) (*BuildStatus, error) {
	return fetch[BuildStatus](ctx, s.client, get("/api/agents/{agent_id}/build/status", agentID), opts)
}

// Builds returns up to limit of the agent's builds, the newest first. limit 0 or
// less means 20.
func (s *AgentsService) Builds(ctx context.Context, agentID int64, limit int, opts ...CallOption) ([]Build, error) {
	if limit <= 0 {
		limit = defaultBuildsLimit
	}
	r := get("/api/agents/{agent_id}/builds", agentID).ask("limit", int64(limit))
	return fetchList[Build](ctx, s.client, r, opts)
}

// BuildLogURL returns where the whole log of a build is available for a while,
// without a key.
func (s *AgentsService) BuildLogURL(
	ctx context.Context, agentID, buildID int64, opts ...CallOption,
) (*LogURL, error) {
	r := get("/api/agents/{agent_id}/builds/{build_id}/log_url", agentID, buildID)
	return fetch[LogURL](ctx, s.client, r, opts)
}

// WaitForBuild looks at the build status, at once and then every Interval, until
// it is succeeded. A build that failed or was cancelled ends the wait with a
// [*BuildFailedError]; the end of the time with a [*WaitTimeoutError]. An agent
// that has an image and no build is as good as built. Any other state is waited
// out, and so is one failed look between two that succeed.
//
// The status does not say which build it is of, so right after
// [AgentsService.Build] it may be that of the one before;
// [AgentsService.BuildAndWait] tells them apart.
func (s *AgentsService) WaitForBuild(
	ctx context.Context, agentID int64, o WaitOptions, opts ...CallOption,
) (*BuildStatus, error) {
	w := s.newWaiter(ctx, agentID, o, opts)
	defer w.cancel()
	return w.until(built)
}

// BuildAndWait is [AgentsService.Build] and waiting for that very build, as
// [AgentsService.WaitForBuild] does. When nothing was queued it waits only if a
// build is running, and otherwise returns at once: the status of the image there
// is, of an agent that needs none with an empty State, or a [*BuildFailedError]
// if there is none because its build failed.
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
			return true, nil // a failure since does not unmake the image
		}
		return built(status)
	})
}

// confirm makes sure that a status that looks final is of the build that was
// queued, and not of one before. If it is of another, what is known of the
// queued one takes its place.
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
			return status, nil // there is nothing better to go by
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

// find returns the build that was queued, nil when it is not listed. Without an
// id to go by it is the newest for the same image.
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

// built reports whether the status is a success, or the failure it is.
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

// BuildFailedError is a build that failed or was cancelled.
type BuildFailedError struct{ Status *BuildStatus }

// Error says what the build said.
func (e *BuildFailedError) Error() string {
	switch {
	case e.Status == nil:
		return "anyframe: build failed"
	case e.Status.Error == "":
		return fmt.Sprintf("anyframe: build of agent %d: %s", e.Status.AgentID, e.Status.State)
	}
	return fmt.Sprintf("anyframe: build of agent %d: %s: %s", e.Status.AgentID, e.Status.State, withoutKeys(e.Status.Error))
}

// BuildState is where a build is; open, like [SessionStatus].
type BuildState string

// The states known. "" is no build at all.
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

// terminal reports whether the build is over.
func (s BuildState) terminal() bool {
	return s == BuildStateSucceeded || s == BuildStateFailed || s == BuildStateCancelled
}

// BuildParams are how to build. The zero value will do.
type BuildParams struct {
	Force bool `json:"force"` // builds even if there is an image
}

// BuildQueued is the answer to [AgentsService.Build].
type BuildQueued struct {
	AgentID  int64  `json:"agent_id"`
	BuildKey string `json:"build_key"`
	Queued   bool   `json:"queued"`
	Reason   string `json:"reason"`   // why Queued is false
	BuildID  *int64 `json:"build_id"` // nil when nothing was queued
}

// BuildStatus is how an agent's latest build is doing.
type BuildStatus struct {
	AgentID      int64      `json:"agent_id"`
	BuildKey     string     `json:"build_key"`
	State        BuildState `json:"state"` // "" when there was none
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
	LogSize    *int64     `json:"log_size"` // bytes; nil when not known
}

// LogURL is a signed address that works without a key until it expires.
type LogURL struct {
	URL       string `json:"url"`
	ExpiresIn int    `json:"expires_in"` // seconds
}
