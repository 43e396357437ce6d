package relay_test

import (
	"encoding/json"
	"fmt"
	"net/http"
)

const pageLimit = 1 << 20 // maximum size of a response in bytes

// pages reads a transcript to its end. It returns its events in the form of the stream,
// and the sizes of the responses.
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

// wholeStory returns the same events from a stream.
func wholeStory(x *stream) (all []string) {
	for _, e := range x.all() {
		if e.kind != "session" {
			all = append(all, fmt.Sprintf("%s %s %d bytes %.60s", e.id, e.kind, len(e.data), e.data))
		}
	}
	return all
}
