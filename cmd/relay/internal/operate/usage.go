package operate

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"text/tabwriter"
)

// usage shows the counts per UTC day and site, latest day first.
func usage(ctx context.Context, c *client, _ []string, _ *options) (json.RawMessage, string, error) {
	answer, err := c.call(ctx, "GET", "/usage", nil)
	if err != nil {
		return answer, "", err
	}
	var u struct {
		Days []struct {
			Date, Site      string
			Turns, Sessions int
			Feedback        struct{ Up, Down int }
		}
	}
	if err := json.Unmarshal(answer, &u); err != nil {
		return answer, "", fmt.Errorf("read the response: %w", err)
	}
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "DATE\tSITE\tTURNS\tSESSIONS\tUP\tDOWN")
	for _, d := range u.Days {
		fmt.Fprintf(w, "%s\t%s\t%d\t%d\t%d\t%d\n", d.Date, d.Site, d.Turns, d.Sessions, d.Feedback.Up, d.Feedback.Down)
	}
	_ = w.Flush() // writing to a strings.Builder cannot fail
	return answer, strings.TrimRight(b.String(), "\n"), nil
}
