package relay

import (
	"io/fs"
	"net"
	"time"

	"github.com/anyframe-relay/relay/relay/internal/httpapi"
	"github.com/anyframe-relay/relay/relay/internal/poll"
	"github.com/anyframe-relay/relay/relay/internal/store"
	"github.com/anyframe-relay/relay/relay/internal/stream"
	"github.com/anyframe-relay/relay/relay/internal/upstream"
	"github.com/anyframe-relay/relay/relay/internal/visitor"
	"github.com/anyframe-relay/relay/relay/internal/widget"
)

// VisitorCodec is how the store's rows of tokens are written.
type VisitorCodec = visitor.Codec

// WrapStore puts wrap between the hub of s and its store. It must be called
// before the first request.
func (s *Server) WrapStore(wrap func(store.Store) store.Store) { s.hub.SetStore(wrap(s.store)) }

// RankNow makes s tell the store at once of the ranks that it has yet to hear
// of.
func (s *Server) RankNow() { s.hub.RankNow() }

// SetLeases makes leases of s hold for another time than usual. It must be
// called before the first request.
func (s *Server) SetLeases(d time.Duration) { s.hub.SetLease(d) }

// CloseHub ends what goes on in s and leaves it its store, as in the middle of
// [Server.Close].
func (s *Server) CloseHub() {
	s.streams.Close()
	s.hub.Close()
}

// SetLinger makes s keep sessions that nobody needs for another time than
// usual. It must be called before the first request.
func (s *Server) SetLinger(d time.Duration) { s.hub.Tuning.Linger = d }

// SetWatch makes s read sessions from the store again after another time than
// usual. It must be called before the first request.
func (s *Server) SetWatch(quiet, live time.Duration) {
	s.hub.Tuning.ResyncQuiet, s.hub.Tuning.ResyncLive = quiet, live
}

// SetHeartbeat makes streams show a sign of life after another time of silence
// than usual. It must be called before the first request.
func (s *Server) SetHeartbeat(d time.Duration) {
	s.streaming.Heartbeat = d
	s.streams = stream.New(s.streaming, s.metrics, s.log)
	s.parts.Streams = s.streams
	s.handler = httpapi.New(s.config.api(), s.parts)
}

// SetUnwatched makes s wait for browsers to leave as it does on systems without
// a poller of ours. It must be called before the first request.
func (s *Server) SetUnwatched() {
	s.streaming.Watch = func(net.Conn, poll.Waiter) (*poll.Watch, error) { return nil, poll.ErrUnsupported }
	s.streams = stream.New(s.streaming, s.metrics, s.log)
	s.parts.Streams = s.streams
	s.handler = httpapi.New(s.config.api(), s.parts)
}

// SetSilent makes s ask AnyFrame after another time of silence than usual
// whether a sandbox still runs. It must be called before the first request.
func (s *Server) SetSilent(d time.Duration) { s.hub.Tuning.ProbeAfter = d }

// SessionsInMemory is how many sessions s holds, those included of whose rank it
// has yet to tell.
func (s *Server) SessionsInMemory() int { return s.hub.InMemory() }

// CountedInMemory is how many visitors and addresses s counts something for.
func (s *Server) CountedInMemory() int {
	return s.limits.Counted()
}

// Kept is how many events and bytes s keeps of all sessions together.
func (s *Server) Kept() (events, bytes int) { return s.hub.Kept() }

// PanelURL is the panel's URL as the loader has it, relative to its own.
func PanelURL(files fs.FS) (string, error) {
	a, err := widget.Load(widget.Options{}, files)
	if err != nil {
		return "", err
	}
	return "assets/" + a.Name("panel.js"), nil
}

// Broke is the cause for which a stream of AnyFrame's is opened again.
func Broke(err error) string { return upstream.Broke(err) }
