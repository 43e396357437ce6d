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

// commands lists the commands in the order in which people are shown them.
func commands() []command {
	return []command{
		{
			name: "conversations", args: "[flags]", does: "list conversations, the latest first",
			flags: func(set *flag.FlagSet, o *options) {
				set.StringVar(&o.status, "status", "", "only those with this `status`: running, sleeping, ended, …")
				set.StringVar(&o.site, "site", "", "only those of this `site`")
				set.BoolVar(&o.waiting, "waiting", false, "only those that wait for a person")
				set.IntVar(&o.limit, "limit", 50, "at most so many")
				set.StringVar(&o.cursor, "cursor", "", "go on at the `next_cursor` of an answer")
			}, run: conversations,
		},
		{name: "stop", args: "ID", does: "stop what the agent does in a conversation", least: 1, most: 1, run: stop},
		{name: "end", args: "ID", does: "end a conversation; the next message begins another", least: 1, most: 1, run: end},
		{name: "erase", args: "ID", does: "delete a conversation at AnyFrame and here", least: 1, most: 1, run: erase},
		{name: "answer", args: "ID PROMPT approve|deny|TEXT", does: "decide what the agent waits for, also with approvals off", least: 3, most: 3, run: decide},
		{
			name: "transcript", args: "ID [flags]", does: "read a conversation; only with RELAY_CONSOLE_READ=on, and each time is logged", least: 1, most: 1,
			flags: func(set *flag.FlagSet, o *options) {
				set.Int64Var(&o.since, "since", 0, "go on after the event with this `number`, the next_since of an answer")
				set.IntVar(&o.limit, "limit", 200, "at most so many rows of AnyFrame's log")
			}, run: transcript,
		},
		{name: "usage", does: "show the turns, new sessions and ratings of the last 30 days, by site", run: usage},
		{
			name: "pause", args: `["TEXT"] [--stop]`, does: "refuse new messages, with a text for visitors; --stop stops what runs", most: 1,
			flags: func(set *flag.FlagSet, o *options) {
				set.BoolVar(&o.stop, "stop", false, "also stop the turns that run")
			}, run: pause,
		},
		{name: "unpause", does: "take new messages again", run: unpause},
		{name: "banner", args: `"TEXT"`, does: `show a line in every widget; "" removes it`, least: 1, most: 1, run: banner},
		{
			name: "block", args: "WHO [--for 24h]", does: "refuse a visitor (its hash), an address or a CIDR for a time", least: 1, most: 1,
			flags: func(set *flag.FlagSet, o *options) {
				set.StringVar(&o.lasts, "for", "24h", "for how long, a `duration` such as 90m")
			}, run: block,
		},
		{name: "reload", does: "read the file of sites again; what is wrong is listed and changes nothing", run: reload},
		{name: "unblock", args: "WHO", does: "serve the blocked again", least: 1, most: 1, run: unblock},
	}
}

func pause(ctx context.Context, c *client, args []string, o *options) (json.RawMessage, string, error) {
	body := object{"stop": o.stop}
	if len(args) > 0 {
		body["text"] = args[0]
	}
	answer, err := c.call(ctx, "PUT", "/pause", body)
	return answer, "New messages are refused. relay unpause ends that.", err
}

func unpause(ctx context.Context, c *client, _ []string, _ *options) (json.RawMessage, string, error) {
	answer, err := c.call(ctx, "DELETE", "/pause", nil)
	return answer, "New messages are taken again.", err
}

func banner(ctx context.Context, c *client, args []string, _ *options) (json.RawMessage, string, error) {
	if args[0] == "" {
		answer, err := c.call(ctx, "DELETE", "/banner", nil)
		return answer, "The banner is gone.", err
	}
	answer, err := c.call(ctx, "PUT", "/banner", object{"text": args[0]})
	return answer, `Every widget shows it. relay banner "" removes it.`, err
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
		err = errors.New("nothing has changed, for the settings are not right:\n" + strings.Join(refused.Problems, "\n"))
	}
	return answer, "The settings are reloaded.", err
}

func unblock(ctx context.Context, c *client, args []string, _ *options) (json.RawMessage, string, error) {
	answer, err := c.call(ctx, "DELETE", "/blocks/"+url.PathEscape(args[0]), nil)
	return answer, args[0] + " is no longer blocked.", err
}
