package operate

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"
)

// list is the response of GET /api/conversations.
type list struct {
	Conversations []struct {
		ID, Site, Visitor, Status string
		Epoch                     int64
		Busy                      bool `json:"agent_busy"`
		Prompts                   []struct{ ID, Kind, Tool string }
		Streams                   int
		Active                    time.Time `json:"last_active_at"`
	}
	Next *string `json:"next_cursor"`
}

func conversations(ctx context.Context, c *client, _ []string, o *options) (json.RawMessage, string, error) {
	q := url.Values{"limit": {strconv.Itoa(o.limit)}}
	for name, value := range map[string]string{"site": o.site, "status": o.status, "cursor": o.cursor} {
		if value != "" {
			q.Set(name, value)
		}
	}
	if o.waiting {
		q.Set("waiting", "true")
	}
	answer, err := c.call(ctx, "GET", "/conversations?"+q.Encode(), nil)
	if err != nil {
		return answer, "", err
	}
	var l list
	if err := json.Unmarshal(answer, &l); err != nil {
		return answer, "", fmt.Errorf("read the response: %w", err)
	}
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "ID\tSITE\tVISITOR\tEPOCH\tSTATUS\tTABS\tLAST ACTIVE\tPENDING")
	for _, row := range l.Conversations {
		if row.Busy {
			row.Status += ", busy"
		}
		var waits []string
		for _, p := range row.Prompts {
			waits = append(waits, strings.TrimSpace(p.Kind+" "+printable(p.Tool))+" "+p.ID)
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%d\t%s\t%d\t%s\t%s\n", row.ID, row.Site, row.Visitor, row.Epoch, row.Status, row.Streams,
			row.Active.UTC().Format(time.DateTime), strings.Join(waits, ", "))
	}
	_ = w.Flush() // writing to a strings.Builder cannot fail
	if l.Next != nil {
		fmt.Fprintf(&b, "More conversations: --cursor %s\n", *l.Next)
	}
	return answer, strings.TrimRight(b.String(), "\n"), nil
}

// printable escapes a tool's name for a terminal, because the agent chose it.
func printable(s string) string {
	q := strconv.Quote(s)
	return q[1 : len(q)-1]
}

func of(id string) string { return "/conversations/" + url.PathEscape(id) }

func stop(ctx context.Context, c *client, args []string, _ *options) (json.RawMessage, string, error) {
	answer, err := c.call(ctx, "POST", of(args[0])+"/stop", nil)
	return answer, "Stopping the agent.", err
}

func end(ctx context.Context, c *client, args []string, _ *options) (json.RawMessage, string, error) {
	answer, err := c.call(ctx, "POST", of(args[0])+"/end", nil)
	return answer, "The conversation has ended.", err
}

func erase(ctx context.Context, c *client, args []string, _ *options) (json.RawMessage, string, error) {
	answer, err := c.call(ctx, "POST", of(args[0])+"/erase", nil)
	var e struct{ Erasure string }
	if err == nil {
		err = json.Unmarshal(answer, &e)
	}
	return answer, "Erasing the conversation. GET /api/erasures/" + e.Erasure + " shows the progress.", err
}

func decide(ctx context.Context, c *client, args []string, _ *options) (json.RawMessage, string, error) {
	body := object{"answer": args[2]}
	if args[2] == "approve" || args[2] == "deny" {
		body = object{"decision": args[2]}
	}
	answer, err := c.call(ctx, "POST", of(args[0])+"/prompts/"+url.PathEscape(args[1]), body)
	return answer, "AnyFrame received the answer.", err
}
