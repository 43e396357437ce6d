//go:build !race

package relay_test

import (
	"strings"
	"testing"

	"github.com/anyframe-relay/relay/anyframe/anyframetest"
)

func TestFaults_EventTooLarge_SkippedAndRestDelivered(t *testing.T) {
	overTransports(t, func(t *testing.T, via transport) {
		r := via.newHarness(t, nil, anyframetest.WithAgent(1, func(c *anyframetest.Chat) {
			c.Emit(textPayload("Small.", false))
			c.Emit(textPayload(strings.Repeat("x", 17<<20), false))
			c.Emit(textPayload("Smaller.", false))
		}))
		v := r.visitor()
		x := v.open("")
		v.say("go", "k1")
		wantAnswers(t, "live", x.turnEnds(1), "Small.Smaller.")
	})
}
