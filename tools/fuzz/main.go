// Command fuzz runs every fuzz test of the module, one after the other, each
// for the time given.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx, os.Args[1:])
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "fuzz:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	if len(args) != 1 {
		return errors.New("usage: fuzz TIME, such as 20s")
	}
	each, err := time.ParseDuration(args[0])
	if err != nil || each <= 0 {
		return fmt.Errorf("%q is no time, such as 20s", args[0])
	}
	out, err := exec.CommandContext(ctx, "go", "test", "-list", "^Fuzz", "./...").Output()
	if err != nil {
		return fmt.Errorf("list fuzz tests: %w", err)
	}
	for _, f := range listed(string(out)) {
		fmt.Println(f.pkg, f.name)
		cmd := exec.CommandContext(ctx, "go", "test", "-run", "^$", //nolint:gosec // names that go test has listed
			"-fuzz", "^"+f.name+"$", "-fuzztime", each.String(), f.pkg)
		cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
		if err = cmd.Run(); err != nil {
			return fmt.Errorf("%s of %s: %w", f.name, f.pkg, err)
		}
	}
	return nil
}

type fuzzTest struct{ pkg, name string }

// listed parses the output of go test -list: the names of a package's tests, then a
// line with the package.
func listed(out string) []fuzzTest {
	var all, pending []fuzzTest
	for line := range strings.Lines(out) {
		fields := strings.Fields(line)
		switch {
		case len(fields) == 1 && strings.HasPrefix(fields[0], "Fuzz"):
			pending = append(pending, fuzzTest{name: fields[0]})
		case len(fields) > 1 && fields[0] == "ok":
			for _, f := range pending {
				all = append(all, fuzzTest{fields[1], f.name})
			}
			pending = nil
		}
	}
	return all
}
