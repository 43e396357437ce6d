//go:build !race

package intake_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/anyframe-relay/relay/anyframe"
	"github.com/anyframe-relay/relay/relay/internal/upstream"
)

// An event that is too large must not block the events after it, wherever its id is.
func TestFollow_EventTooLarge_RestDelivered(t *testing.T) {
	t.Parallel()
	said := func(text string) string {
		return `{"type":"assistant","content":[{"type":"text","text":"` + text + `"}]}`
	}
	large := said(strings.Repeat("x", upstream.MaxEventBytes))
	row := func(seq int, payload string) string {
		return fmt.Sprintf(`{"seq":%d,"payload":%s,"created_at":"2026-01-02T03:04:05Z"}`, seq, payload)
	}
	for name, tt := range map[string]struct {
		large string // the frame at which each new stream begins, until an event after it was read
		row   string // of the transcript
		want  []string
	}{
		"id first":  {"id: 1\ndata: " + large + "\n\n", row(1, large), []string{"after"}},
		"id last":   {"data: " + large + "\nid: 1\n\n", row(1, large), []string{"after"}},
		"no number": {"data: " + large + "\n\n", row(1, said("before")), []string{"before", "after"}},
	} {
		t.Run(name, func(t *testing.T) {
			d := newDesk(t)
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if strings.HasSuffix(r.URL.Path, "/transcript") {
					fmt.Fprint(w, "["+tt.row+"]")
					return
				}
				w.Header().Set("Content-Type", "text/event-stream")
				if r.Header.Get("Last-Event-ID") == "" {
					fmt.Fprint(w, tt.large)
				}
				fmt.Fprint(w, "data: "+said("after")+"\nid: 2\n\n")
				_ = http.NewResponseController(w).Flush()
				<-r.Context().Done()
			}))
			defer web.Close()
			var err error
			d.Client, err = anyframe.New(anyframe.WithAPIKey("afm_key_of_nobody"), anyframe.WithBaseURL(web.URL), anyframe.WithDotEnv(""))
			if err != nil {
				t.Fatal(err)
			}
			defer d.Client.CloseIdleConnections()
			d.c.Log().Watch(func() {
				if d.c.Log().Head() == 2 {
					cancel()
				}
			})
			f := d.Follow(ctx, d.c, func() {}, func(err error) bool {
				t.Errorf("got %v, want the stream opened again after the event", err)
				return true
			})
			f.Run(func() {})
			f.Close()
			if got := texts(t, d.c); d.c.Log().Head() != 2 || !slices.Equal(got, tt.want) {
				t.Errorf("got %q up to event %d, want %q up to 2", got, d.c.Log().Head(), tt.want)
			}
		})
	}
}
