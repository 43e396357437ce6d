//go:build unix

package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"syscall"
	"time"
)

// fault is a temporary failure.
type fault struct {
	name string
	do   func(ctx context.Context, c *chaos, pick *rand.Rand) error
}

// some returns a time between the two.
func some(pick *rand.Rand, from, to time.Duration) time.Duration {
	return from + time.Duration(pick.Int64N(int64(to-from)+1))
}

// The faults of the relays. Only one happens at a time, so that another relay
// serves.
var relayFaults = []fault{
	{"kill a relay", func(ctx context.Context, c *chaos, pick *rand.Rand) error {
		p := c.relays[pick.IntN(len(c.relays))]
		p.end(syscall.SIGKILL)
		rest(ctx, some(pick, 0, 3*time.Second))
		return p.start(ctx)
	}},
	{"end a relay", func(ctx context.Context, c *chaos, pick *rand.Rand) error {
		return c.replace(ctx, c.relays[pick.IntN(len(c.relays))])
	}},
	{"replace all relays, one after the other", func(ctx context.Context, c *chaos, _ *rand.Rand) error {
		for _, p := range c.relays {
			if err := c.replace(ctx, p); err != nil {
				return err
			}
		}
		return nil
	}},
	{"freeze a relay", func(ctx context.Context, c *chaos, pick *rand.Rand) error {
		p := c.relays[pick.IntN(len(c.relays))]
		p.signal(syscall.SIGSTOP)
		rest(ctx, some(pick, time.Second, 8*time.Second))
		p.signal(syscall.SIGCONT)
		return nil
	}},
	{"cut all streams of AnyFrame", func(_ context.Context, c *chaos, _ *rand.Rand) error {
		c.plane.CutStreams()
		return nil
	}},
}

// The faults of the store.
var storeFaults = []fault{
	{"kill Redis", func(ctx context.Context, c *chaos, pick *rand.Rand) error {
		c.redis.end(syscall.SIGKILL)
		rest(ctx, some(pick, 0, 3*time.Second))
		return c.redis.start(ctx)
	}},
	{"freeze Redis", func(ctx context.Context, c *chaos, pick *rand.Rand) error {
		c.redis.signal(syscall.SIGSTOP)
		rest(ctx, some(pick, time.Second, 5*time.Second))
		c.redis.signal(syscall.SIGCONT)
		return nil
	}},
}

// replace stops a relay as a deployment does and starts the next.
func (c *chaos) replace(ctx context.Context, p *process) error {
	if code := p.end(syscall.SIGTERM); code != 0 {
		return fmt.Errorf("%s: got exit code %d, want 0: %s", p.name, code, p.out.String())
	}
	return p.start(ctx)
}

// wreck injects faults until ctx ends, one after the other, each at least once if
// there is time. It completes a fault that it has started.
func (c *chaos) wreck(ctx context.Context, faults []fault, quiet time.Duration, pick *rand.Rand) error {
	for {
		for _, i := range pick.Perm(len(faults)) {
			if rest(ctx, some(pick, quiet/2, quiet)); ctx.Err() != nil {
				return nil
			}
			f := faults[i]
			c.say("%s", f.name)
			if err := f.do(context.WithoutCancel(ctx), c, pick); err != nil {
				return fmt.Errorf("%s: %w", f.name, err)
			}
			c.count(f.name)
		}
	}
}
