package operate

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"net/url"
	"strings"
)

type object = map[string]any

// commands lists the commands in display order.
func commands() []command {
	return []command{
		{
			name: "conversations", args: "[flags]", does: "list conversations, latest first; with --waiting, ordered by id",
			flags: func(set *flag.FlagSet, o *options) {
				set.StringVar(&o.status, "status", "", "only conversations with this `status`: running, sleeping, ended, …")
				set.StringVar(&o.site, "site", "", "only conversations of this `site`")
				set.BoolVar(&o.waiting, "waiting", false, "only conversations with a pending prompt")
				set.IntVar(&o.limit, "limit", 50, "maximum number of conversations")
				set.StringVar(&o.cursor, "cursor", "", "continue at this `next_cursor` of an earlier response")
			}, run: conversations,
		},
		{name: "stop", args: "ID", does: "stop all unfinished turns of a conversation", least: 1, most: 1, run: stop},
		{name: "end", args: "ID", does: "end a conversation; the visitor's next message starts a new one", least: 1, most: 1, run: end},
		{name: "erase", args: "ID", does: "delete a conversation at AnyFrame and in the relay's store", least: 1, most: 1, run: erase},
		{name: "answer", args: "ID PROMPT approve|deny|TEXT", does: "answer a pending question or permission prompt, even with RELAY_APPROVALS=off", least: 3, most: 3, run: decide},
		{
			name: "transcript", args: "ID [flags]", does: "print a conversation; requires RELAY_CONSOLE_READ=on, and each read is logged", least: 1, most: 1,
			flags: func(set *flag.FlagSet, o *options) {
				set.Int64Var(&o.since, "since", 0, "continue after the event with this `number`, the next_since of an earlier response")
				set.IntVar(&o.limit, "limit", 200, "maximum number of rows read from AnyFrame's log")
			}, run: transcript,
		},
		{name: "usage", does: "show turns, new sessions and ratings of the last 30 days by site", run: usage},
		{
			name: "pause", args: `["TEXT"] [--stop]`, does: "refuse new messages and show TEXT to visitors; --stop also stops running turns", most: 1,
			flags: func(set *flag.FlagSet, o *options) {
				set.BoolVar(&o.stop, "stop", false, "also stop running turns")
			}, run: pause,
		},
		{name: "unpause", does: "accept new messages again", run: unpause},
		{name: "banner", args: `"TEXT"`, does: `show a line of text in every widget; "" removes it`, least: 1, most: 1, run: banner},
		{
			name: "block", args: "WHO [--for 24h]", does: "block a visitor (by hash), an IP address or a CIDR for a time", least: 1, most: 1,
			flags: func(set *flag.FlagSet, o *options) {
				set.StringVar(&o.lasts, "for", "24h", "how long to block, a `duration` such as 90m")
			}, run: block,
		},
		{name: "reload", does: "reload the sites file and .env; if they have problems, print them and change nothing", run: reload},
		{name: "unblock", args: "WHO", does: "remove a block", least: 1, most: 1, run: unblock},
	}
}

func pause(ctx context.Context, c *client, args []string, o *options) (json.RawMessage, string, error) {
	body := object{"stop": o.stop}
	if len(args) > 0 {
		body["text"] = args[0]
	}
	answer, err := c.call(ctx, "PUT", "/pause", body)
	return answer, "New messages are refused. To accept them again, run relay unpause.", err
}

func unpause(ctx context.Context, c *client, _ []string, _ *options) (json.RawMessage, string, error) {
	answer, err := c.call(ctx, "DELETE", "/pause", nil)
	return answer, "New messages are accepted again.", err
}

func banner(ctx context.Context, c *client, args []string, _ *options) (json.RawMessage, string, error) {
	if args[0] == "" {
		answer, err := c.call(ctx, "DELETE", "/banner", nil)
		return answer, "The banner is removed.", err
	}
	answer, err := c.call(ctx, "PUT", "/banner", object{"text": args[0]})
	return answer, `Every widget shows the banner. To remove it, run relay banner "".`, err
}

func block(ctx context.Context, c *client, args []string, o *options) (json.RawMessage, string, error) {
	answer, err := c.call(ctx, "PUT", "/blocks/"+url.PathEscape(args[0]), object{"for": o.lasts})
	var b struct{ Subject, Until string }
	if err == nil {
		err = json.Unmarshal(answer, &b)
	}
	return answer, b.Subject + " is blocked until " + b.Until + ".", err
}

func reload(ctx context.Context, c *client, _ []string, _ *options) (json.RawMessage, string, error) {
	answer, err := c.call(ctx, "POST", "/reload", nil)
	var refused struct{ Problems []string }
	if err != nil && json.Unmarshal(answer, &refused) == nil && len(refused.Problems) > 0 {
		err = errors.New("nothing changed, because the settings are invalid:\n" + strings.Join(refused.Problems, "\n"))
	}
	return answer, "Settings reloaded.", err
}

func unblock(ctx context.Context, c *client, args []string, _ *options) (json.RawMessage, string, error) {
	answer, err := c.call(ctx, "DELETE", "/blocks/"+url.PathEscape(args[0]), nil)
	return answer, args[0] + " is no longer blocked.", err
}
