//go:build unix

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/anyframe-relay/relay/anyframe/anyframetest"
	"github.com/anyframe-relay/relay/tools/proxytest"
)

// plan is the configuration of a run.
type plan struct {
	seed     uint64
	length   time.Duration // of the time with faults
	relays   int
	visitors int
	tabs     int // of each visitor
	dir      string
	out      io.Writer
}

// secondSite is the site of every second visitor; the others use the default site.
const secondSite = "second"

// settleLimit is how long it may take, after the last fault, until every visitor
// has every event once.
const settleLimit = 3 * time.Minute

// chaos is one run.
type chaos struct {
	plan
	began    time.Time
	plane    *anyframetest.Server
	redis    *process
	relays   []*process
	proxies  []*proxytest.Proxy
	visitors []*visitor

	mu    sync.Mutex // held while results are reported or counted
	faced map[string]int
}

// run starts everything, injects faults for a while, and returns the results once
// everything has settled.
func run(ctx context.Context, p plan) (r *report, err error) {
	c := &chaos{plan: p, began: time.Now(), faced: map[string]int{}}
	c.say("seed %d: %d relays, %d visitors with %d tabs each, for %v", p.seed, p.relays, p.visitors, p.tabs, p.length)
	defer func() { err = errors.Join(err, c.end()) }()
	if err := c.start(ctx); err != nil {
		return nil, err
	}
	pick := rand.New(rand.NewPCG(p.seed, 1)) //nolint:gosec // faults need no secrecy
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var tabs, others sync.WaitGroup
	defer tabs.Wait()
	defer others.Wait()
	defer cancel(nil)
	stop := make(chan struct{})
	for _, v := range c.visitors {
		for _, t := range v.tabs {
			tabs.Go(func() { t.run(ctx) })
		}
	}
	var talks sync.WaitGroup
	for _, v := range c.visitors {
		talks.Go(func() {
			rest(ctx, jitter(0, 2*time.Second))
			if err := v.talk(ctx, stop); err != nil {
				cancel(err)
			}
		})
	}
	erased := 0
	talks.Go(func() {
		n, err := c.guests(ctx, stop)
		if erased = n; err != nil {
			cancel(err)
		}
	})
	if err := c.await(ctx, "all tabs have a word of the agent's", func() bool {
		for _, v := range c.visitors {
			for _, t := range v.tabs {
				if t.seen() == 0 {
					return false
				}
			}
		}
		return true
	}); err != nil {
		return nil, err
	}
	c.say("%d streams are open", len(c.visitors)*c.tabs)
	wrecking, enough := context.WithTimeout(ctx, p.length)
	defer enough()
	for i, faults := range [][]fault{relayFaults, storeFaults} {
		pick := rand.New(rand.NewPCG(pick.Uint64(), uint64(i))) //nolint:gosec // as above
		others.Go(func() {
			// Redis is unavailable for at most a third of the time.
			if err := c.wreck(wrecking, faults, time.Duration(1+2*i)*p.pause(), pick); err != nil {
				cancel(err)
			}
		})
	}
	<-wrecking.Done()
	others.Wait()
	close(stop)
	c.say("nothing goes wrong any more")
	settling, late := context.WithTimeoutCause(ctx, settleLimit, errors.New("the last turns were not accepted in time"))
	defer late()
	done := make(chan struct{})
	go func() { talks.Wait(); close(done) }()
	select {
	case <-done:
	case <-settling.Done():
		cancel(context.Cause(settling))
		<-done
	}
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	if err := c.await(ctx, "the agents are idle", func() bool {
		for _, s := range c.plane.Sessions() {
			if s.Busy {
				return false
			}
		}
		return true
	}); err != nil {
		return nil, err
	}
	// What remains is counted.
	_ = c.await(ctx, "nothing of the guests is left", func() bool { return c.leftOfGuests() == 0 })
	wants := c.oracle()
	settledErr := c.await(ctx, "all tabs have everything", func() bool {
		for _, v := range c.visitors {
			for _, t := range v.tabs {
				if t.seen() < len(wants[v.n]) {
					return false
				}
			}
		}
		return true
	})
	c.say("all has settled")
	misrated := 0
	for _, v := range c.visitors {
		n, err := v.misrated(ctx)
		if err != nil {
			return nil, fmt.Errorf("visitor %d: export: %w", v.n, err)
		}
		misrated += n
	}
	cancel(nil)
	tabs.Wait()
	r = c.judge(wants)
	r.erased, r.erasedLeft, r.misrated = erased, c.leftOfGuests(), misrated
	if settledErr != nil && r.lost == 0 {
		return r, settledErr
	}
	return r, nil
}

// pause is the approximate time between two faults.
func (p plan) pause() time.Duration { return min(3*time.Second, p.length/8) }

// start starts the control plane, Redis, the relays, both proxies and the visitors.
func (c *chaos) start(ctx context.Context) error {
	c.plane = anyframetest.New(anyframetest.WithPace(200*time.Millisecond), anyframetest.WithBootDelay(500*time.Millisecond),
		anyframetest.WithAgent(1, func(chat *anyframetest.Chat) {
			chat.Say("You said " + chat.Prompt() + ", and I say so many words that it takes me a while.")
			chat.Say("That was all.")
		}))
	if err := c.plane.Listen("127.0.0.1:0"); err != nil {
		return err
	}
	program := filepath.Join(c.dir, "relay")
	if out, err := exec.CommandContext(ctx, "go", "build", "-o", program, "github.com/anyframe-relay/relay/cmd/relay").CombinedOutput(); err != nil {
		return fmt.Errorf("go build: %w: %s", err, out)
	}
	var url string
	var err error
	if c.redis, url, err = newRedis(ctx, filepath.Join(c.dir, "redis")); err != nil {
		return err
	}
	sites := filepath.Join(c.dir, "relay.yaml")
	if err := os.WriteFile(sites, []byte("sites:\n  "+secondSite+":\n    title: Another\n"), 0o600); err != nil {
		return err
	}
	var addrs []string
	for n := range c.plan.relays {
		p, addr, err := newReplica(ctx, n, program, c.dir,
			"ANYFRAME_API_KEY="+c.plane.Key(), fmt.Sprint("ANYFRAME_AGENT_ID=", c.plane.AgentID()), "ANYFRAME_BASE_URL="+c.plane.URL(),
			"RELAY_STORE="+url, "RELAY_CONFIG="+sites, "RELAY_TRUSTED_PROXIES=127.0.0.1", "RELAY_RATE_MESSAGES=off", "RELAY_RATE_IP=off", "RELAY_RATE_SESSIONS=off",
			"RELAY_FEEDBACK=on", "RELAY_STREAMS_PER_IP=50000", "RELAY_STREAMS_PER_VISITOR=1000", "RELAY_MAX_SESSIONS=50000", "RELAY_STREAM_LIFETIME=1m")
		if p != nil { // it must be ended even if it is not ready
			c.relays, addrs = append(c.relays, p), append(addrs, addr)
		}
		if err != nil {
			return err
		}
	}
	for name, launch := range map[string]func(context.Context, proxytest.Front) (*proxytest.Proxy, error){"nginx": proxytest.StartNginx, "caddy": proxytest.StartCaddy} {
		dir := filepath.Join(c.dir, name)
		if err := os.MkdirAll(dir, 0o755); err != nil { //nolint:gosec // nginx's workers are another user
			return err
		}
		p, err := launch(context.WithoutCancel(ctx), proxytest.Front{Dir: dir, Relays: addrs})
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		c.proxies = append(c.proxies, p)
	}
	var wg sync.WaitGroup
	errs := make(chan error, c.plan.visitors)
	for n := range c.plan.visitors {
		v := newVisitor(n, c.tabs, c.proxies)
		c.visitors = append(c.visitors, v)
		wg.Go(func() { errs <- v.introduce(ctx) })
	}
	wg.Wait()
	close(errs)
	for e := range errs {
		err = errors.Join(err, e)
	}
	return err
}

// end ends everything that was started.
func (c *chaos) end() error {
	for _, v := range c.visitors {
		v.close()
	}
	var err error
	for _, p := range c.proxies {
		err = errors.Join(err, p.Close())
	}
	for _, p := range c.relays {
		p.end(syscall.SIGKILL)
		if said := p.panics(); said != "" {
			err = errors.Join(err, fmt.Errorf("%s: %s", p.name, said))
		}
	}
	if c.redis != nil {
		c.redis.end(syscall.SIGKILL)
	}
	if c.plane != nil {
		c.plane.Close()
	}
	return err
}

// await waits until cond holds, for at most [settleLimit].
func (c *chaos) await(ctx context.Context, what string, cond func() bool) error {
	for deadline := time.Now().Add(settleLimit); !cond(); rest(ctx, 50*time.Millisecond) {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("got not within %v: %s", settleLimit, what)
		}
	}
	return nil
}

func (c *chaos) say(format string, args ...any) {
	c.mu.Lock()
	defer c.mu.Unlock()
	fmt.Fprintf(c.out, "%6.1fs  %s\n", time.Since(c.began).Seconds(), fmt.Sprintf(format, args...))
}

func (c *chaos) count(fault string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.faced[fault]++
}

// owner returns the visitor of a session, identified by the text of its messages.
func (c *chaos) owner(session string) (visitor int, texts []string) {
	visitor = -1
	for _, body := range c.plane.Messages(session) {
		var m struct{ Prompt string }
		if json.Unmarshal(body, &m) == nil {
			texts = append(texts, m.Prompt)
			_, _ = fmt.Sscanf(m.Prompt, "visitor %d turn", &visitor)
		}
	}
	return visitor, texts
}

// oracle returns the events that each visitor must have received, from the control
// plane's own log of the visitor's only session.
func (c *chaos) oracle() map[int][]seen {
	wants := map[int][]seen{}
	for _, s := range c.plane.Sessions() {
		n, _ := c.owner(s.ID)
		for _, row := range c.plane.Log(s.ID) {
			var p struct {
				Type, Text string
				Message    struct {
					Content []struct{ Type, Text string }
				}
			}
			if json.Unmarshal(row.Payload, &p) != nil {
				continue
			}
			switch p.Type {
			case "user_message":
				wants[n] = append(wants[n], newSeen(1, row.Seq, "user", p.Text))
			case "assistant":
				var text strings.Builder
				for _, b := range p.Message.Content {
					text.WriteString(b.Text)
				}
				wants[n] = append(wants[n], newSeen(1, row.Seq, "text", text.String()))
			case "result":
				wants[n] = append(wants[n], newSeen(1, row.Seq, "turn_end", "done"))
			}
		}
	}
	return wants
}
