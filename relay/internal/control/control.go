package control

import (
	"context"
	"encoding/json"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/anyframe-relay/relay/relay/internal/problem"
	"github.com/anyframe-relay/relay/relay/internal/store"
)

const (
	// MaxBlocks is the maximum number of blocks.
	MaxBlocks    = 1000
	interval     = time.Second
	storeTimeout = 5 * time.Second
)

// The keys of the rows. Those of blocks are followed by the subject.
const (
	keyPause  = "pause"
	keyBanner = "banner"
	keyBlock  = "block "
)

// Options configures a Control.
type Options struct {
	Store store.RecordStore
	// Changed is called, one call at a time, after a decision was made in this process or
	// read from the store.
	Changed func(was, is *State)
	Log     *slog.Logger
}

// Control holds the current decisions. It is safe for concurrent use.
type Control struct {
	options Options
	state   atomic.Pointer[State]

	// loading is a slot for one holder, which reads the store, so that an older read
	// cannot replace a newer one. The holder owns the three fields below.
	loading chan struct{}
	rows    map[string]string
	// revision is the revision of the store's rows when they were read.
	revision int64
	failed   bool // the last read failed, and the failure was logged

	mu   sync.Mutex // guards held, the waiters, which exist only while there is no pause
	held map[*hold]bool
}

// hold is a caller that waits for a pause.
type hold struct{ cancel context.CancelCauseFunc }

// New returns a Control without decisions.
func New(o Options) *Control {
	return &Control{options: o, loading: make(chan struct{}, 1), held: map[*hold]bool{}}
}

// State returns the current decisions.
func (c *Control) State() *State {
	if c == nil {
		return nil
	}
	return c.state.Load()
}

// Load reads the decisions from the store. If that fails, the decisions in memory stay in
// force.
func (c *Control) Load(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	select {
	case c.loading <- struct{}{}:
		defer func() { <-c.loading }()
	case <-ctx.Done():
		return ctx.Err()
	}
	revision, err := c.options.Store.RecordsRevision(ctx, Kind)
	if err == nil && c.state.Load() != nil && revision == c.revision {
		return nil
	}
	var rows map[string]string
	if err == nil {
		rows, err = c.all(ctx)
	}
	if err != nil {
		if !c.failed && ctx.Err() == nil {
			c.options.Log.Warn("failed to read operator decisions", "error", err)
		}
		c.failed = true
		return err
	}
	c.failed, c.revision = false, revision
	if c.state.Load() != nil && maps.Equal(rows, c.rows) {
		return nil
	}
	c.rows = rows
	was, is := c.state.Load(), c.parse(rows)
	c.state.Store(is)
	if is.Pause() != nil {
		c.endHolds(is)
	}
	if c.options.Changed != nil {
		c.options.Changed(was, is)
	}
	return nil
}

// parse parses rows. It omits and logs a row that cannot be parsed.
func (c *Control) parse(rows map[string]string) *State {
	var pause *Pause
	var banner *Banner
	var blocks []Block
	for _, key := range slices.Sorted(maps.Keys(rows)) {
		var err error
		switch {
		case key == keyPause:
			err = json.Unmarshal([]byte(rows[key]), &pause)
		case key == keyBanner:
			err = json.Unmarshal([]byte(rows[key]), &banner)
		case strings.HasPrefix(key, keyBlock):
			var b Block
			if err = json.Unmarshal([]byte(rows[key]), &b); err == nil {
				blocks = append(blocks, b)
			}
		}
		if err != nil {
			c.options.Log.Error("failed to read an operator decision", "key", key, "error", err)
		}
	}
	return newState(pause, banner, blocks)
}

// Run loads the decisions periodically until ctx ends.
func (c *Control) Run(ctx context.Context) {
	tick := time.NewTicker(interval)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			_ = c.Load(ctx) // logged by Load
		case <-ctx.Done():
			return
		}
	}
}

// put stores a decision and applies it in this process immediately.
func (c *Control) put(ctx context.Context, key string, v any, expires time.Time) error {
	body, err := json.Marshal(v)
	if err != nil {
		return err
	}
	if err := c.save(ctx, key, string(body), expires); err != nil {
		return err
	}
	return c.Load(ctx)
}

func (c *Control) remove(ctx context.Context, key string) error {
	if err := c.delete(ctx, key); err != nil {
		return err
	}
	return c.Load(ctx)
}

func now() time.Time { return time.Now().UTC().Truncate(time.Millisecond) }

// SetPause refuses new turns and sandboxes with a text. With stop, running turns are also
// stopped.
func (c *Control) SetPause(ctx context.Context, text, by string, stop bool) error {
	return c.put(ctx, keyPause, Pause{Text: text, Since: now(), By: by, Stop: stop}, time.Time{})
}

// Unpause ends a pause.
func (c *Control) Unpause(ctx context.Context) error { return c.remove(ctx, keyPause) }

// SetBanner sets the banner of every widget.
func (c *Control) SetBanner(ctx context.Context, text, by string) error {
	return c.put(ctx, keyBanner, Banner{Text: text, Since: now(), By: by}, time.Time{})
}

// RemoveBanner removes the banner.
func (c *Control) RemoveBanner(ctx context.Context) error { return c.remove(ctx, keyBanner) }

// Block refuses a subject, given in its canonical form, for d.
func (c *Control) Block(ctx context.Context, subject, by string, d time.Duration) (Block, error) {
	b := Block{Subject: subject, Since: now(), Until: now().Add(d), By: by}
	known := c.State().Blocks()
	if len(known) >= MaxBlocks && !slices.ContainsFunc(known, func(k Block) bool { return k.Subject == subject }) {
		return b, problem.BadRequest.With("The maximum of %d blocks is reached. Remove a block, or block a network instead.", MaxBlocks)
	}
	return b, c.put(ctx, keyBlock+subject, b, b.Until)
}

// Unblock removes a block.
func (c *Control) Unblock(ctx context.Context, subject string) error {
	return c.remove(ctx, keyBlock+subject)
}

// Paused returns the refusal of new turns during a pause, else nil.
func (c *Control) Paused() error { return c.State().Paused() }

// UntilPause returns a context that is canceled when a pause begins, with the refusal as
// its cause. The caller must call cancel.
func (c *Control) UntilPause(ctx context.Context) (_ context.Context, cancel func()) {
	ctx, end := context.WithCancelCause(ctx)
	h := &hold{end}
	c.mu.Lock()
	c.held[h] = true
	c.mu.Unlock()
	if err := c.State().Paused(); err != nil { // after the hold is registered, so that no pause is missed
		end(err)
	}
	return ctx, func() {
		c.mu.Lock()
		delete(c.held, h)
		c.mu.Unlock()
		end(nil)
	}
}

func (c *Control) endHolds(s *State) {
	err := s.Paused()
	c.mu.Lock()
	defer c.mu.Unlock()
	for h := range c.held {
		h.cancel(err)
	}
}
