package anyframe

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
)

func TestTranscriptAll_Pages_ReadInOrder(t *testing.T) {
	rows := func(from, to int) string {
		var b strings.Builder
		for i := from; i <= to; i++ {
			fmt.Fprintf(&b, `,{"seq":%d,"payload":{"type":"result"},"created_at":"2025-01-01T00:00:00Z"}`, i)
		}
		return "[" + strings.TrimPrefix(b.String(), ",") + "]"
	}
	transport := newScript(reply(200, rows(6, 1005)), reply(200, rows(1005, 2004)), reply(200, rows(2005, 2006)))
	c := newClient(t, WithHTTPClient(&http.Client{Transport: transport}))
	all := c.Sessions.TranscriptAll(t.Context(), "x", 5)
	next := int64(6)
	for e, err := range all {
		if err != nil {
			t.Fatal(err)
		}
		if e.Seq != next || e.Event().ID != fmt.Sprint(next) || e.Event().Type() != TypeResult {
			t.Fatalf("got %+v, want seq %d", e, next)
		}
		next++
	}
	var asked []string
	for _, r := range transport.requests {
		asked = append(asked, r.URL.RawQuery)
	}
	want := []string{"limit=1000&since=5", "limit=1000&since=1005", "limit=1000&since=2004"}
	if next != 2007 || !slices.Equal(asked, want) {
		t.Errorf("got up to %d by %v, want 2007 by %v", next, asked, want)
	}
	transport.requests = nil
	for e, err := range all { // again from the start, and leaving the loop ends it
		if err != nil || e.Seq != 6 {
			t.Errorf("got %+v, %v, want seq 6", e, err)
		}
		break
	}
	if transport.count() != 1 {
		t.Errorf("got %d requests, want 1", transport.count())
	}
}

func TestTranscriptAll_OwnLimit_ReadToEnd(t *testing.T) {
	const events, most = 250, 100 // the server's
	c := newServer(t, func(w http.ResponseWriter, r *http.Request) {
		var since, limit int
		if _, err := fmt.Sscan(r.FormValue("since")+" "+r.FormValue("limit"), &since, &limit); err != nil {
			t.Error(err)
		}
		var rows []string
		for seq := since + 1; seq <= events && len(rows) < min(limit, most); seq++ {
			rows = append(rows, fmt.Sprintf(`{"seq":%d}`, seq))
		}
		fmt.Fprintf(w, "[%s]", strings.Join(rows, ","))
	})
	for _, limit := range []string{"7", "50", "100", "2000"} {
		n := 0
		for _, err := range c.Sessions.TranscriptAll(t.Context(), "x", 0, CallQuery("limit", limit)) {
			if err != nil {
				t.Fatal(err)
			}
			n++
		}
		if n != events {
			t.Errorf("limit %s: got %d events, want %d", limit, n, events)
		}
	}
}

func TestTranscriptAll_RepeatedPage_Ends(t *testing.T) {
	page := "[" + strings.TrimSuffix(strings.Repeat(`{"seq":1},`, defaultTranscriptLimit), ",") + "]"
	transport := newScript(reply(200, page))
	c := newClient(t, WithHTTPClient(&http.Client{Transport: transport}))
	n := 0
	for _, err := range c.Sessions.TranscriptAll(t.Context(), "x", 0) {
		if err != nil {
			t.Fatal(err)
		}
		n++
	}
	if n != 1 || transport.count() != 2 {
		t.Errorf("got %d events in %d requests, want 1 in 2", n, transport.count())
	}
}

func TestTranscriptAll_Error_YieldedLast(t *testing.T) {
	c := newClient(t, WithHTTPClient(&http.Client{Transport: newScript(reply(404, ""))}))
	n := 0
	for _, err := range c.Sessions.TranscriptAll(t.Context(), "x", 0) {
		if n++; !errors.Is(err, ErrNotFound) {
			t.Errorf("got %v, want ErrNotFound", err)
		}
	}
	if n != 1 {
		t.Errorf("got %d, want 1", n)
	}
}
