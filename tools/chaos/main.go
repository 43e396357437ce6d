//go:build unix

// Command chaos runs several relays with two sites on one Redis behind nginx and
// Caddy, and opens a thousand event streams. Relays and Redis are killed, frozen,
// stopped and replaced while visitors chat, stop, rate and erase. In the end the
// control plane's own log shows whether any event or turn was lost, repeated or out
// of order, and whether erased data is left. The command prints the results, and
// exits with 1 if it finds a violation.
//
// RELAY_CHAOS sets the time with faults, and RELAY_SEED the seed of the random
// choices.
package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/signal"
	"strconv"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := serve(ctx)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "chaos:", err)
		os.Exit(1)
	}
}

func serve(ctx context.Context) error {
	length, err := time.ParseDuration(cmp.Or(os.Getenv("RELAY_CHAOS"), "3m"))
	if err != nil || length <= 0 {
		return errors.New("RELAY_CHAOS must be a time such as 3m")
	}
	seed := rand.Uint64() //nolint:gosec // printed, to be used again
	if raw := os.Getenv("RELAY_SEED"); raw != "" {
		if seed, err = strconv.ParseUint(raw, 10, 64); err != nil {
			return errors.New("RELAY_SEED must be a number")
		}
	}
	dir, err := os.MkdirTemp("", "relay-chaos-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	r, err := run(ctx, plan{seed: seed, length: length, relays: 4, visitors: 50, tabs: 20, dir: dir, out: os.Stdout})
	if r != nil {
		r.print(os.Stdout)
		if err == nil && !r.flawless() {
			err = errors.New("events, turns or ratings were lost, repeated or out of order, or something erased is left")
		}
	}
	return err
}
