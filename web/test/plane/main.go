// Plane runs the scripted control plane as a separate process, so that a test can
// kill the relay in front of it. It prints its address as one line of JSON, and
// exits when its standard input is closed.
package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/anyframe-relay/relay/anyframe/anyframetest"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "plane:", err)
		os.Exit(1)
	}
}

func run() error {
	opts := []anyframetest.Option{
		anyframetest.WithAgent(1, anyframetest.Demo()),
		anyframetest.WithBootDelay(300 * time.Millisecond),
	}
	if os.Getenv("PLANE_TERSE") == "1" {
		// A few long deltas make an answer short, while the pauses between answers are as
		// long as in relay demo.
		opts = append(opts, anyframetest.WithPace(35*time.Millisecond), anyframetest.WithWordsPerDelta(40))
	} else {
		opts = append(opts, anyframetest.WithPace(4*time.Millisecond))
	}
	if os.Getenv("PLANE_UNNUMBERED") == "1" {
		opts = append(opts, anyframetest.WithUnnumberedDeltas())
	}
	plane := anyframetest.New(opts...)
	if err := plane.Listen("127.0.0.1:0"); err != nil {
		return err
	}
	defer plane.Close()
	err := json.NewEncoder(os.Stdout).Encode(map[string]any{"url": plane.URL(), "key": plane.Key(), "agent": plane.AgentID()})
	if err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, os.Stdin)
	return err
}
