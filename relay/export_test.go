package relay

import (
	"context"
	"io/fs"
	"slices"
	"testing/fstest"
	"time"

	"github.com/anyframe-relay/relay/relay/internal/feedback"
	"github.com/anyframe-relay/relay/relay/internal/history"
	"github.com/anyframe-relay/relay/relay/internal/session"
	"github.com/anyframe-relay/relay/relay/internal/upstream"
	"github.com/anyframe-relay/relay/relay/internal/visitor"
	"github.com/anyframe-relay/relay/relay/internal/widget"
)

// VisitorCodec encodes the store's rows of tokens.
type VisitorCodec = visitor.Codec

// main returns the parts of the default site.
func (s *Server) main() *wired { return (*s.sites.Load())[""].current() }

func (s *Server) hub() *session.Hub { return s.main().hub }

// Tuning holds what only tests change.
type Tuning = tuning

// Tune sets the tuning of a relay that is built from c.
func (c *Config) Tune(t Tuning) { c.tuning = t }

// WatchFeedback wraps the store of the feedback. It must be called before s serves.
func (s *Server) WatchFeedback(wrap func(feedback.Store) feedback.Store) {
	b := s.main().feedback
	b.Store = wrap(b.Store)
}

// RankNow makes s write all pending ranks to the store immediately.
func (s *Server) RankNow() { s.hub().RankNow() }

// CloseHub ends all activity of s and leaves its store open, as in the middle of
// [Server.Close].
func (s *Server) CloseHub() { s.closeSites() }

// SessionsInMemory returns how many sessions s holds, including those with a pending
// rank.
func (s *Server) SessionsInMemory() int { return s.hub().InMemory() }

// CountedInMemory returns for how many visitors and addresses s counts something.
func (s *Server) CountedInMemory() int {
	return s.limits.Counted()
}

// Kept returns how many events and bytes s keeps over all sessions.
func (s *Server) Kept() (events, bytes int) { return s.kept() }

// PanelURL returns the panel's URL in the loader, relative to the loader's own.
func PanelURL(files fs.FS) (string, error) {
	a, err := widget.Load(widget.Options{}, files)
	if err != nil {
		return "", err
	}
	return "assets/" + a.Name("panel.js"), nil
}

// VisitorOf returns the id of the visitor with this token.
func (s *Server) VisitorOf(ctx context.Context, token string) (string, error) {
	v, err := s.main().tokens.Resolve(ctx, token)
	return v.ID, err
}

// BreakWidget makes s unable to build the widget of a site with other settings, until mend
// is called. No request may be in progress.
func (s *Server) BreakWidget() (mend func(), err error) {
	whole := s.assets
	s.assets, err = widget.LoadAssets(fstest.MapFS{"widget.js": {Data: []byte(`"__RELAY_CONFIG__"`)}}) // it has no page
	return func() { s.assets = whole }, err
}

// Broke returns the reason why a stream from AnyFrame must be opened again.
func Broke(err error) string { return upstream.Broke(err) }

// Busy returns the conversations that are recorded as having a turn without an end.
func (s *Server) Busy(ctx context.Context) (busy []history.Conversation) {
	sites, _ := s.operated(ctx)
	for _, site := range sites {
		all, _ := site.Book.Latest(ctx, time.Time{}, "", 100)
		busy = append(busy, slices.DeleteFunc(all, func(c history.Conversation) bool { return !c.Busy })...)
	}
	return busy
}
