package session

import "context"

// Pause keeps new turns and sandboxes from beginning.
type Pause interface {
	// Paused returns the refusal while there is a pause, else nil.
	Paused() error
	// UntilPause returns a context that ends when a pause begins, with the refusal as
	// its cause. The caller calls cancel in the end.
	UntilPause(ctx context.Context) (_ context.Context, cancel func())
}

// holding returns a context for as long as a turn is held: until it takes too long, or a
// pause begins.
func (h *Hub) holding(ctx context.Context) (wait context.Context, cancel func()) {
	wait, end := context.WithTimeout(ctx, h.SendWait)
	wait, resume := h.Pause.UntilPause(wait)
	return wait, func() { resume(); end() }
}

// NotifyStreams lets every stream look again at what its source shows.
func (h *Hub) NotifyStreams() {
	for _, s := range h.sessions.All() {
		s.watchers.Notify()
	}
}

// Listeners returns how many event streams of a visitor's this process has open.
func (h *Hub) Listeners(visitor string) int {
	if s, ok := h.sessions.Get(visitor); ok {
		return h.sessions.Listeners(s)
	}
	return 0
}
