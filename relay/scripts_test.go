package relay_test

import (
	"fmt"
	"strings"

	"github.com/anyframe-relay/relay/anyframe/anyframetest"
)

// atWork is an agent that, when told to work, works until its sandbox goes down, and
// finishes anything else immediately.
func atWork(c *anyframetest.Chat) {
	c.Say("On it.")
	if c.Prompt() == "work" {
		<-c.Context().Done()
	}
}

const firstWords, spoken = "Well, let me see.", "It is as you say: quite so."

// speak answers with two blocks.
func speak(c *anyframetest.Chat) {
	c.Say(firstWords)
	c.Say(spoken)
}

// gated is an agent whose answer stops midway until its gate opens.
type gated struct {
	gate       chan struct{}
	unnumbered bool
}

const (
	firstHalf  = "One two "
	secondHalf = "three four."
)

func (g gated) speak(c *anyframetest.Chat) {
	if c.Prompt() == "before" {
		c.Say("Before.")
		return
	}
	emit := c.Emit
	if g.unnumbered {
		emit = c.EmitUnnumbered
	}
	delta := func(text string) {
		for _, word := range strings.SplitAfter(text, " ") {
			emit(textPayload(word, true))
		}
	}
	delta(firstHalf)
	select {
	case <-g.gate:
	case <-c.Context().Done():
		return
	}
	delta(secondHalf)
	c.Emit(textPayload(firstHalf+secondHalf, false))
}

func textPayload(text string, delta bool) map[string]any {
	return map[string]any{
		"type": "assistant", "delta": delta,
		"message": map[string]any{"content": []any{map[string]any{"type": "text", "text": text}}},
	}
}

func asks(c *anyframetest.Chat) {
	if c.Prompt() == "permit" {
		c.Say(fmt.Sprint("Permitted: ", c.Permit("Bash", map[string]any{"command": "ls"})))
		return
	}
	c.Say("You chose " + c.Ask("Which?", "red", "green") + ".")
}

// talk is a conversation with everything that an agent does, in few events.
func talk(c *anyframetest.Chat) {
	switch {
	case strings.Contains(c.Prompt(), "fail"):
		c.Say("Trying.")
		c.Fail("it broke")
	default:
		c.Think("Hm.")
		c.Say("First I look around.")
		c.Tool("Bash", map[string]any{"command": "ls"})
		c.Say("You said: " + c.Prompt())
	}
}
