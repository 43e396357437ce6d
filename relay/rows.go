package relay

import (
	"context"
	"errors"
	"time"

	"github.com/anyframe-relay/relay/anyframe"
)

const (
	// readWait is how long a stream waits for a page of AnyFrame's transcript
	// before it shows a sign of life and asks again.
	readWait = 10 * time.Second
	// historyPage is how many rows of AnyFrame's transcript are asked for at once.
	historyPage = 1000
)

// rows reads a page of AnyFrame's transcript. A session that AnyFrame no longer
// knows has none.
func (s *session) rows(ctx context.Context, since int64, limit int) ([]anyframe.ChatEvent, error) {
	ctx, cancel := context.WithTimeout(ctx, readWait)
	defer cancel()
	done, err := s.hub.reading(ctx)
	if err != nil {
		return nil, err
	}
	defer done()
	rows, err := s.hub.client.Sessions.Transcript(ctx, s.upstreamID(), since, limit)
	if errors.Is(err, anyframe.ErrNotFound) {
		return nil, nil
	}
	return rows, err
}
