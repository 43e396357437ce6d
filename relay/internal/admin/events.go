package admin

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/anyframe-relay/relay/relay/internal/control"
	"github.com/anyframe-relay/relay/relay/internal/history"
	"github.com/anyframe-relay/relay/relay/internal/journal"
	"github.com/anyframe-relay/relay/relay/internal/problem"
	"github.com/anyframe-relay/relay/relay/internal/store"
)

const (
	lookEvery  = time.Second
	perSite    = 10 * time.Millisecond // added to the interval for each site, because each site is checked
	beatEvery  = 12 * time.Second
	writeWait  = 10 * time.Second
	maxStreams = 32 // over all operators
)

// watched maps the names in change events to the kinds of a site's records.
var watched = map[string]string{"conversations": history.Kind, "prompts": journal.KindWaiting}

// revisions returns, for each name, a value that changes with it. It omits what cannot be
// read.
func (a *Admin) revisions(ctx context.Context, rows []store.RecordStore) map[string]string {
	now := map[string]string{}
	look := func(name, kind string, rows ...store.RecordStore) {
		all := make([]int64, len(rows))
		for i, of := range rows {
			var err error
			if all[i], err = of.RecordsRevision(ctx, kind); err != nil {
				return
			}
		}
		now[name] = fmt.Sprint(all)
	}
	for name, kind := range watched {
		look(name, kind, rows...)
	}
	look("decisions", control.Kind, a.Records)
	return now
}

// streamChanges streams the names of what has changed, in any process, so that a page can
// reload it: GET /api/events.
func (a *Admin) streamChanges(w http.ResponseWriter, r *http.Request) error {
	if a.streams.Add(1) > maxStreams {
		a.streams.Add(-1)
		return problem.Streams
	}
	defer a.streams.Add(-1)
	h := w.Header()
	h.Set("Content-Type", "text/event-stream; charset=utf-8")
	h.Set("Cache-Control", "no-store, no-transform")
	h.Set("X-Accel-Buffering", "no")
	rc := http.NewResponseController(w)
	send := func(text string) error {
		_ = rc.SetWriteDeadline(time.Now().Add(writeWait)) // unsupported only in tests
		if _, err := w.Write([]byte(text)); err != nil {
			return err
		}
		return rc.Flush()
	}
	if send(": hello\nretry: 2000\n") != nil {
		return nil
	}
	known := map[string]string{}
	wrote := time.Now()
	for {
		rows := a.Rows()
		text := ""
		for name, now := range a.revisions(r.Context(), rows) {
			if now != known[name] {
				known[name] = now
				text += fmt.Sprintf("event: %s\ndata: {}\n\n", name)
			}
		}
		if text == "" && time.Since(wrote) > beatEvery {
			text = ":\n"
		}
		if text != "" {
			if send(text) != nil {
				return nil
			}
			wrote = time.Now()
		}
		select {
		case <-time.After(lookEvery + time.Duration(len(rows))*perSite):
		case <-a.Draining:
			return nil
		case <-r.Context().Done():
			return nil
		}
	}
}
