// Package probe checks the liveness and readiness of a running relay over HTTP.
package probe

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// Client does not follow redirects, so that callers can report them.
var Client = &http.Client{
	CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
}

// Get requests url and returns the status and up to 4 KiB of the body.
func Get(ctx context.Context, url string, timeout time.Duration) (code int, body []byte, err error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return 0, nil, err
	}
	res, err := Client.Do(req)
	if err != nil {
		return 0, nil, err
	}
	defer res.Body.Close()
	body, err = io.ReadAll(io.LimitReader(res.Body, 4<<10))
	return res.StatusCode, body, err
}

// Unready returns the reasons why the relay at base is not ready, or nil if it is ready.
func Unready(ctx context.Context, base string, timeout time.Duration) []string {
	code, body, err := Get(ctx, base+"/readyz", timeout)
	var told struct{ Reasons []string }
	switch {
	case err != nil:
		return []string{err.Error()}
	case code == http.StatusOK:
		return nil
	case json.Unmarshal(body, &told) != nil || len(told.Reasons) == 0:
		return []string{fmt.Sprintf("/readyz returned status %d", code)}
	}
	return told.Reasons
}

// Printable returns text with every non-printable character escaped. Text from the network
// could otherwise move the cursor, change colors or reverse the writing direction.
func Printable(text string) string {
	var b strings.Builder
	for i := 0; i < len(text); {
		r, width := utf8.DecodeRuneInString(text[i:])
		switch {
		case r == utf8.RuneError && width == 1:
			fmt.Fprintf(&b, `\x%02x`, text[i])
		case unicode.IsPrint(r):
			b.WriteRune(r)
		default:
			quoted := strconv.QuoteRune(r)
			b.WriteString(quoted[1 : len(quoted)-1])
		}
		i += width
	}
	return b.String()
}
