package admin

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"time"

	"github.com/anyframe-relay/relay/anyframe"
	"github.com/anyframe-relay/relay/relay/internal/event"
	"github.com/anyframe-relay/relay/relay/internal/past"
	"github.com/anyframe-relay/relay/relay/internal/problem"
	"github.com/anyframe-relay/relay/relay/internal/upstream"
)

const (
	usualEvents = 200 // rows of AnyFrame's log that one page covers
	maxEvents   = 1000
	maxReads    = 4 // transcripts that may be read at once; each holds about one page
	readWait    = 10 * time.Second
	readRetry   = 2 * time.Second
)

// showTranscript returns the content of a conversation, as its visitor's own stream shows
// it: GET /api/conversations/{id}/transcript. It reads AnyFrame's transcript, so it wakes
// no sandbox. It uses none of the visitor's own limits for reading.
func (a *Admin) showTranscript(w http.ResponseWriter, r *http.Request) error {
	if !a.options.Read {
		return problem.ConsoleReadOff
	}
	q := r.URL.Query()
	since, limit := int64(0), int64(usualEvents)
	for name := range q {
		var err error
		switch name {
		case "since":
			if since, err = strconv.ParseInt(q.Get(name), 10, 64); err != nil || since < 0 || since > 1<<62 {
				return problem.BadRequest.With(`"since" must be the next_since of an earlier response.`)
			}
		case "limit":
			if limit, err = strconv.ParseInt(q.Get(name), 10, 64); err != nil || limit < 1 || limit > maxEvents {
				return problem.BadRequest.With(`"limit" must be a number from 1 to %d.`, maxEvents)
			}
		default:
			return problem.BadRequest.With("Invalid query. Valid parameters are since and limit.")
		}
	}
	c, err := a.find(r)
	if err != nil {
		return err
	}
	release, err := a.holdRead(r.Context())
	if err != nil {
		return err
	}
	defer release()
	body, err := readPage(r.Context(), c, since, int(limit))
	if err != nil {
		return err
	}
	a.audit(r, "transcript", "conversation", c.ID)
	control := http.NewResponseController(w)
	_ = control.SetWriteDeadline(time.Now().Add(writeWait)) // unsupported only in tests
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	_, _ = w.Write(body) //nolint:gosec // JSON, with nosniff; if the client is gone, the error concerns no one
	_ = control.Flush()  // all of it, while the deadline applies
	_ = control.SetWriteDeadline(time.Time{})
	return nil
}

// holdRead waits for a slot for a read, which is held until release is called.
func (a *Admin) holdRead(ctx context.Context) (release func(), err error) {
	timer := time.NewTimer(readWait)
	defer timer.Stop()
	select {
	case a.reads <- struct{}{}:
		return func() { <-a.reads }, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-timer.C:
		return nil, problem.RateLimited.After(readRetry)
	}
}

// readPage returns a page of a conversation, with the visitor's ratings on the last page.
func readPage(ctx context.Context, c listed, since int64, limit int) ([]byte, error) {
	ctx = upstream.For(ctx, upstream.NewCaller(c.Visitor))
	rows := func(ctx context.Context, since int64, limit int) ([]anyframe.ChatEvent, error) {
		ctx, cancel := context.WithTimeout(ctx, readWait)
		defer cancel()
		return c.site.Client.Sessions.Transcript(ctx, c.Upstream, since, limit)
	}
	var p past.Page
	next, err := c.site.Past.PageOf(ctx, &c.Conversation, rows, since, limit, func(row []event.Item) bool { return p.Add(c.Epoch, row) })
	if errors.Is(err, past.ErrUnknown) {
		return nil, problem.NotFound.With("AnyFrame no longer has this conversation.")
	}
	if err == nil && next == nil && c.site.Feedback != nil {
		words, listErr := c.site.Feedback.List(ctx, c.Visitor)
		next, err = p.AddLast(c.Epoch, since, past.Ratings(words, c.Epoch)), listErr
	}
	if err != nil {
		return nil, err
	}
	return p.Close(next)
}
