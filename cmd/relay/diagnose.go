package main

import (
	"context"
	"fmt"
	"io"
	"os"

	"github.com/anyframe-relay/relay/cmd/relay/internal/doctor"
)

// diagnose implements relay doctor.
func diagnose(ctx context.Context, asJSON bool, lookup func(string) (string, bool), stdout, stderr io.Writer) int {
	s := defaults()
	env, envErr := readEnvironment(lookup, envFile)
	readErr := env.read(s)
	fileErr := places(env.readSites(s))
	report := doctor.Examine(ctx, doctor.Deployment{
		Config: s.relay, Problems: problems(fileErr, envErr, readErr, s.relay.Validate()), Strangers: env.strangers(os.Environ()),
		Exposed: exposed(envFile, s.relay.Store),
	})
	if err := report.Print(stdout, asJSON); err != nil {
		fmt.Fprintln(stderr, "relay:", err)
		return exitError
	}
	if !report.OK {
		return exitError
	}
	return exitOK
}
