package operate

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"strings"
)

// Exit codes.
const (
	exitOK    = 0
	exitError = 1 // request refused, or no relay reached
	exitUsage = 2 // wrong arguments
)

// Target is the relay to control, unless the command's --admin names another.
type Target struct {
	URL     string // of its admin address; empty if it has none
	Missing string // why URL is empty
	Token   string // empty if there is none
}

// options are a command's flags.
type options struct {
	json, stop   bool
	lasts, admin string

	site, status, cursor string
	waiting              bool
	limit                int
	since                int64
}

// command is one of the program's commands.
type command struct {
	name, args, does string
	least, most      int // number of arguments
	flags            func(*flag.FlagSet, *options)
	// run returns the relay's response, and the text to print without --json.
	run func(ctx context.Context, c *client, args []string, o *options) (answer json.RawMessage, text string, err error)
}

func find(name string) (command, bool) {
	for _, c := range commands() {
		if c.name == name {
			return c, true
		}
	}
	return command{}, false
}

// Known reports whether this package has a command of that name.
func Known(name string) bool {
	_, ok := find(name)
	return ok
}

// Usage returns a list of the commands, each indented by two spaces.
func Usage() string {
	var b strings.Builder
	for _, c := range commands() {
		fmt.Fprintf(&b, "  relay %-24s %s\n", strings.TrimSpace(c.name+" "+c.args), c.does)
	}
	return b.String()
}

// Run runs the command named by args[0] with the other args, and returns the program's
// exit code.
func Run(ctx context.Context, args []string, target Target, stdout, stderr io.Writer) int {
	cmd, _ := find(args[0])
	o := options{}
	set := flag.NewFlagSet(cmd.name, flag.ContinueOnError)
	set.SetOutput(io.Discard)
	set.BoolVar(&o.json, "json", false, "print the relay's response as JSON")
	set.StringVar(&o.admin, "admin", target.URL, "`URL` of the relay's admin address")
	if cmd.flags != nil {
		cmd.flags(set, &o)
	}
	rest, err := parse(set, args[1:])
	usage := func(w io.Writer) {
		fmt.Fprintf(w, "relay %s\n    %s\n\n", strings.TrimSpace(cmd.name+" "+cmd.args), cmd.does)
		set.SetOutput(w)
		set.PrintDefaults()
	}
	if errors.Is(err, flag.ErrHelp) {
		usage(stdout)
		return exitOK
	}
	if err == nil && (len(rest) < cmd.least || len(rest) > cmd.most) {
		err = fmt.Errorf("wrong number of arguments: got %d", len(rest))
	}
	if err == nil && o.admin == "" {
		err = fmt.Errorf("%s; pass the relay's address with --admin URL", target.Missing)
	}
	var c *client
	if err == nil {
		c, err = newClient(o.admin, target.Token)
	}
	if err != nil {
		fmt.Fprintf(stderr, "relay %s: %v\n\n", cmd.name, err)
		usage(stderr)
		return exitUsage
	}
	answer, text, err := cmd.run(ctx, c, rest, &o)
	if bad, ok := errors.AsType[usageError](err); ok {
		fmt.Fprintf(stderr, "relay %s: %v\n", cmd.name, bad)
		return exitUsage
	}
	if o.json && len(answer) > 0 {
		_, _ = stdout.Write(answer) // a refusal is JSON too
	}
	if err != nil {
		fmt.Fprintf(stderr, "relay %s: %v\n", cmd.name, err)
		return exitError
	}
	switch {
	case o.json && len(answer) == 0:
		fmt.Fprintln(stdout, "{}")
	case !o.json:
		fmt.Fprintln(stdout, text)
	}
	return exitOK
}

// usageError is an error in an argument, which exits with 2.
type usageError struct{ error }

// parse parses flags at any position and returns the other arguments. Arguments after
// "--" are not flags.
func parse(set *flag.FlagSet, args []string) (rest []string, err error) {
	for {
		if err := set.Parse(args); err != nil {
			return nil, err
		}
		left := set.Args()
		if parsed := len(args) - len(left); parsed > 0 && args[parsed-1] == "--" {
			return append(rest, left...), nil
		}
		if len(left) == 0 {
			return rest, nil
		}
		rest, args = append(rest, left[0]), left[1:]
	}
}
