// Command relay stands between a website and an AnyFrame agent: it keeps the
// key, and lets visitors chat.
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
	go func() { // as long as the process: the first signal asks, the second doesn't
		<-signals
		cancel()
		<-signals
		os.Exit(exitError)
	}()
	os.Exit(run(ctx, os.Args[1:], os.LookupEnv, os.Stdout, os.Stderr))
}

// The exit codes.
const (
	exitOK    = 0
	exitError = 1 // something failed
	exitUsage = 2 // wrong settings or arguments
)

// run is the program. It ends gracefully when ctx does.
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
	asJSON := command == "doctor" && slices.Equal(args[1:], []string{"--json"})
	if len(args) > 1 && !asJSON {
		takes := "no arguments"
		if command == "doctor" {
			takes = "no argument but --json"
		}
		fmt.Fprintf(stderr, "relay: %s takes %s; everything is set in the environment, see relay help\n", command, takes)
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
	case "help", "-h", "--help":
		help(stdout)
		return exitOK
	}
	fmt.Fprintf(stderr, "relay: there is no command %q; see relay help\n", command)
	return exitUsage
}
