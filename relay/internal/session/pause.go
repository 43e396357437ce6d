package session

import "context"

// Pause prevents new turns and sandboxes from starting.
type Pause interface {
	// Paused returns the refusal during a pause, else nil.
	Paused() error
	// UntilPause returns a context that is canceled when a pause begins, with the refusal
	// as its cause. The caller must call cancel.
	UntilPause(ctx context.Context) (_ context.Context, cancel func())
}

// holding returns the context under which a turn waits: it ends after SendWait, or when a
// pause begins.
func (h *Hub) holding(ctx context.Context) (wait context.Context, cancel func()) {
	wait, end := context.WithTimeout(ctx, h.SendWait)
	wait, resume := h.Pause.UntilPause(wait)
	return wait, func() { resume(); end() }
}

// NotifyStreams makes every stream read its source's state again.
func (h *Hub) NotifyStreams() {
	for _, s := range h.sessions.All() {
		s.watchers.Notify()
	}
}

// Listeners returns how many event streams of the visitor are open in this process.
func (h *Hub) Listeners(visitor string) int {
	if s, ok := h.sessions.Get(visitor); ok {
		return h.sessions.Listeners(s)
	}
	return 0
}
