package relay_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/anyframe-relay/relay/anyframe/anyframetest"
)

const pageLimit = 1 << 20 // bytes that an answer has at most

// pages reads a transcript to its end, and returns its events as the stream tells them,
// and how large the answers were.
func (b *browser) pages(limit int) (all []string, sizes []int) {
	b.r.t.Helper()
	for since := "0"; ; {
		a := b.do("GET", fmt.Sprintf("/v1/transcript?limit=%d&since=%s", limit, since), "")
		var page struct {
			Events []struct {
				ID    *string
				Event string
				Data  json.RawMessage
			}
			NextSince *json.Number `json:"next_since"`
		}
		if err := json.Unmarshal([]byte(a.body), &page); err != nil || a.status != http.StatusOK {
			b.r.t.Fatalf("since %s: got %d %.200s and error %v, want a page", since, a.status, a.body, err)
		}
		if a.header.Get("Content-Type") != "application/json; charset=utf-8" || a.header.Get("Content-Length") != fmt.Sprint(len(a.body)) {
			b.r.t.Errorf("since %s: got headers %v, want JSON of %d bytes", since, a.header, len(a.body))
		}
		sizes = append(sizes, len(a.body))
		for _, e := range page.Events {
			id := ""
			if e.ID != nil {
				id = *e.ID
			}
			all = append(all, fmt.Sprintf("%s %s %d bytes %.60s", id, e.Event, len(e.Data), e.Data))
		}
		if page.NextSince == nil {
			return all, sizes
		}
		if len(sizes) > 10_000 || page.NextSince.String() == since {
			b.r.t.Fatalf("got %d pages and next_since %s, want an end", len(sizes), since)
		}
		since = page.NextSince.String()
	}
}

// wholeStory is a stream's own account of the same.
func wholeStory(x *stream) (all []string) {
	for _, e := range x.all() {
		if e.kind != "session" {
			all = append(all, fmt.Sprintf("%s %s %d bytes %.60s", e.id, e.kind, len(e.data), e.data))
		}
	}
	return all
}

// A page ends where the next event would not fit, wherever that is: nothing is left out,
// told twice or told out of order, whatever belongs to the event that comes next.
func TestTranscript_LongerThanPage_EveryEventOnce(t *testing.T) {
	t.Parallel()
	for name, opts := range map[string][]anyframetest.Option{
		"messages in the log": nil,
		"messages of ours":    {anyframetest.WithoutUserEcho()},
		"steps of seven":      {anyframetest.WithoutUserEcho(), anyframetest.WithSeqStep(7)},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newHarness(t, nil, append(opts, anyframetest.WithAgent(1, func(c *anyframetest.Chat) {
				for i := range 12 {
					c.Emit(map[string]any{"type": "weather", "sky": strings.Repeat("blue", i)}) // of which nothing is shown
					c.Emit(map[string]any{"type": "assistant", "message": map[string]any{"content": []any{map[string]any{"type": "text", "text": fmt.Sprint(i, strings.Repeat(" word", 7000))}}}})
				}
			}))...)
			v := r.visitor()
			x := v.open("")
			const turns = 6
			for i := range turns {
				v.say(fmt.Sprint("turn ", i, strings.Repeat(" more", 1000)), fmt.Sprint("k", i))
				x.turnEnds(i + 1)
			}
			y := v.open("")
			y.turnEnds(turns)
			want := strings.Join(wholeStory(y), "\n")
			for _, limit := range []int{1, 7, 200, 1000} {
				got, sizes := v.pages(limit)
				if strings.Join(got, "\n") != want {
					t.Errorf("limit %d: got\n%s\nwant\n%s", limit, strings.Join(got, "\n"), want)
				}
				for i, size := range sizes {
					if size > pageLimit {
						t.Errorf("limit %d, page %d: got %d bytes, want %d at most", limit, i, size, pageLimit)
					}
				}
				if limit == 1000 && (len(sizes) < 3 || len(sizes) > 4 || sizes[0] < pageLimit*9/10) {
					t.Errorf("limit 1000: got pages of %v bytes, want 2.6 MB on full pages", sizes)
				}
			}
		})
	}
}
