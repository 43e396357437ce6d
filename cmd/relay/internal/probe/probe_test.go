package probe_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"
	"time"
	"unicode"

	"github.com/anyframe-relay/relay/cmd/relay/internal/probe"
)

func TestPrintable(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"Zürich → 你好 …":            "Zürich → 你好 …",
		"\x1b[2J\x07gone\r\n":      `\x1b[2J\agone\r\n`,
		"\u009b31m":                `\u009b31m`,
		"abc\u202edcba\u200b":      `abc\u202edcba\u200b`,
		"\xff\xfe":                 `\xff\xfe`,
		"no-break\u00a0\U000e0041": `no-break\u00a0\U000e0041`,
	} {
		got := probe.Printable(text)
		if got != want {
			t.Errorf("%q: got %s, want %s", text, got, want)
		}
		for _, r := range got {
			if !unicode.IsPrint(r) {
				t.Errorf("%q: got %q in it", text, r)
			}
		}
	}
}

func TestUnready(t *testing.T) {
	t.Parallel()
	for body, want := range map[string][]string{
		`{"reasons":["a","b"]}`: {"a", "b"},
		`<h1>`:                  {"/readyz returned status 503"},
		"":                      {"/readyz returned status 503"},
	} {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusServiceUnavailable)
			fmt.Fprint(w, body)
		}))
		if got := probe.Unready(t.Context(), server.URL, time.Minute); !slices.Equal(got, want) {
			t.Errorf("%q: got %q, want %q", body, got, want)
		}
		server.Close()
	}
}
