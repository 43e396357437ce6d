package relay

import (
	"context"
	"io/fs"

	"github.com/anyframe-relay/relay/relay/internal/feedback"
	"github.com/anyframe-relay/relay/relay/internal/session"
	"github.com/anyframe-relay/relay/relay/internal/upstream"
	"github.com/anyframe-relay/relay/relay/internal/visitor"
	"github.com/anyframe-relay/relay/relay/internal/widget"
)

// VisitorCodec is how the store's rows of tokens are written.
type VisitorCodec = visitor.Codec

// main is what serves the default site.
func (s *Server) main() *wired { return (*s.sites.Load())[""].current() }

func (s *Server) hub() *session.Hub { return s.main().hub }

// Tuning is what only tests change.
type Tuning = tuning

// Tune sets how a relay that is built from c differs from others.
func (c *Config) Tune(t Tuning) { c.tuning = t }

// WatchFeedback puts a store of the test's before that of the feedback. It is called before
// s serves.
func (s *Server) WatchFeedback(wrap func(feedback.Store) feedback.Store) {
	b := s.main().feedback
	b.Store = wrap(b.Store)
}

// RankNow makes s write to the store at once the ranks that it has not written yet.
func (s *Server) RankNow() { s.hub().RankNow() }

// CloseHub ends what goes on in s and leaves it its store, as in the middle of
// [Server.Close].
func (s *Server) CloseHub() { s.closeSites() }

// SessionsInMemory is how many sessions s holds, including those whose rank it has
// not written yet.
func (s *Server) SessionsInMemory() int { return s.hub().InMemory() }

// CountedInMemory is how many visitors and addresses s counts something for.
func (s *Server) CountedInMemory() int {
	return s.limits.Counted()
}

// Kept is how many events and bytes s keeps of all sessions together.
func (s *Server) Kept() (events, bytes int) { return s.kept() }

// PanelURL is the panel's URL as the loader has it, relative to its own.
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

// Broke is the cause for which a stream of AnyFrame's is opened again.
func Broke(err error) string { return upstream.Broke(err) }
