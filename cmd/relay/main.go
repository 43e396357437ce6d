// Command relay connects the visitors of a website to an AnyFrame agent without
// exposing the AnyFrame key to browsers.
package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"syscall"

	"github.com/anyframe-relay/relay/cmd/relay/internal/operate"
	"github.com/anyframe-relay/relay/cmd/relay/licenses"
)

func main() {
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	ctx, cancel := context.WithCancel(context.Background())
	go func() { // runs until the process exits: the first signal shuts down gracefully, the second at once
		<-signals
		cancel()
		<-signals
		os.Exit(exitError)
	}()
	os.Exit(run(ctx, os.Args[1:], os.LookupEnv, os.Stdout, os.Stderr))
}

// Exit codes.
const (
	exitOK    = 0
	exitError = 1 // something failed
	exitUsage = 2 // wrong settings or arguments
)

// run runs the program and returns its exit code. It shuts down gracefully when ctx ends.
func run(ctx context.Context, args []string, lookup func(string) (string, bool), stdout, stderr io.Writer) int {
	command := "serve"
	if len(args) > 0 {
		command = args[0]
	}
	if operate.Known(command) {
		return act(ctx, args, lookup, stdout, stderr)
	}
	if command == "config" {
		return config(args[1:], lookup, stdout, stderr)
	}
	if !slices.Contains(plainCommands, command) {
		fmt.Fprintf(stderr, "relay: unknown command %q; see relay help\n", command)
		return exitUsage
	}
	if len(args) > 1 && wantsHelp(args[1:]) {
		help(stdout)
		return exitOK
	}
	asJSON := command == "doctor" && slices.Equal(args[1:], []string{"--json"})
	if len(args) > 1 && !asJSON {
		takes := "no arguments"
		if command == "doctor" {
			takes = "no argument except --json"
		}
		fmt.Fprintf(stderr, "relay: %s takes %s; settings are environment variables, see relay help\n", command, takes)
		return exitUsage
	}
	switch command {
	case "serve", "demo":
		return serve(ctx, command == "demo", lookup, stdout, stderr)
	case "doctor":
		return diagnose(ctx, asJSON, lookup, stdout, stderr)
	case "health":
		return health(ctx, lookup, stdout, stderr)
	case "version", "-v", "--version":
		fmt.Fprintln(stdout, "relay", version())
		return exitOK
	case "licenses":
		fmt.Fprint(stdout, licenses.ThirdParty)
		return exitOK
	default: // help
		help(stdout)
		return exitOK
	}
}

// plainCommands are the commands without arguments, except for doctor's --json.
var plainCommands = []string{"serve", "demo", "doctor", "health", "version", "-v", "--version", "licenses", "help", "-h", "--help"}

// wantsHelp reports whether the arguments of a command ask for help.
func wantsHelp(args []string) bool {
	last := args[len(args)-1]
	return last == "-h" || last == "--help"
}
