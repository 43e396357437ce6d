// Command load measures the relay against its alternatives.
//
// A control plane that only plays events, the relay and each peer run as separate
// processes on loopback, one after the other and in alternation, with a client that
// uses several addresses. The results are medians over the repetitions and their
// ratios: an absolute figure says more about the machine than about the program.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"runtime/debug"
	"strings"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "load:", err)
		stop()
		os.Exit(1) //nolint:gocritic // stop has been called
	}
}

const usage = `load [flag…] quick|full [scenario,…] [peer,…]   measures and prints tables, JSON to results.json
load [flag…] plane|naive|reverse|floor …            plays one of the parts; the above starts these`

func run(ctx context.Context, args []string) error {
	var o options
	flags := o.flags()
	if err := flags.Parse(args); err != nil {
		return err
	}
	if err := o.check(); err != nil {
		return err
	}
	args = append(flags.Args(), "", "", "", "")
	padding = text(o.bytes)
	switch args[0] {
	case "quick", "full":
		o.full = args[0] == "full"
		return measure(ctx, o, list(args[1]), list(args[2]))
	case "plane":
		return servePlane(args[1], args[2], args[3], o.shape)
	case "naive":
		settleOnSignal()
		return serveNaive(args[1], o.proto.base(args[2]))
	case "reverse":
		settleOnSignal()
		return serveReverse(args[1], o.proto.base(args[2]))
	case "floor":
		settleOnSignal()
		return serveFloor(args[1], args[2])
	}
	flags.Usage()
	return fmt.Errorf("cannot %q", args[0])
}

func list(s string) []string {
	if s == "" || s == "all" {
		return nil
	}
	return strings.Split(s, ",")
}

// settleOnSignal frees unused memory on SIGUSR1, so that only the streams' memory
// is left.
func settleOnSignal() {
	c := make(chan os.Signal, 1)
	signal.Notify(c, syscall.SIGUSR1)
	go func() {
		for range c {
			debug.FreeOSMemory()
		}
	}()
}
