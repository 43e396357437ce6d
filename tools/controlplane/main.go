// Command controlplane runs the scripted control plane as a process of its own,
// for tests that kill the relay and start it again while AnyFrame lives on.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/anyframe-relay/relay/anyframe/anyframetest"
)

func main() {
	addr := flag.String("addr", "127.0.0.1:0", "where to listen")
	pace := flag.Duration("pace", 35*time.Millisecond, "pause between two words")
	boot := flag.Duration("boot", 500*time.Millisecond, "how long a sandbox boots")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	plane := anyframetest.New(anyframetest.WithAgent(1, anyframetest.Demo()), anyframetest.WithBootDelay(*boot), anyframetest.WithPace(*pace))
	if err := plane.Listen(*addr); err != nil {
		fmt.Fprintln(os.Stderr, "controlplane:", err)
		return
	}
	defer plane.Close()
	// One line of JSON tells whoever started us how to point a relay here.
	_ = json.NewEncoder(os.Stdout).Encode(map[string]any{"url": plane.URL(), "key": plane.Key(), "agent": plane.AgentID()})
	<-ctx.Done()
}
