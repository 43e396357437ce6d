package anyframetest

import (
	_ "embed"
	"fmt"
	"strings"
)

//go:embed long.md
var longAnswer string

// A Trigger is a word that the demonstration reacts to.
type Trigger struct {
	Word  string // lower case; also matches the beginning of a longer word
	Shows string // what the user sees then, as the rest of a sentence
}

// A trick is a trigger and its action.
type trick struct {
	Trigger
	script Script
}

var tricks = []trick{
	{Trigger{"tool", "the agent uses tools before it answers"}, demoTool},
	{Trigger{"code", "a block of code"}, demoCode},
	{Trigger{"table", "a table"}, demoTable},
	{Trigger{"question", "the agent asks you a question with options"}, demoQuestion},
	{Trigger{"permission", "the agent asks for permission"}, demoPermission},
	{Trigger{"fail", "a turn that fails halfway"}, demoFail},
	{Trigger{"long", "a long answer with headings, lists, links and a quote"}, demoLong},
	{Trigger{"context", "what the page and the website report to the agent about you"}, demoContext},
	{Trigger{"think", "the agent thinks before it answers"}, demoThink},
	{Trigger{"count", "an answer that takes minutes, so that you can stop it"}, demoCount},
	{Trigger{"rate", "an answer that you can rate"}, demoRate},
	{Trigger{"history", "where to find, download and delete earlier conversations"}, demoHistory},
	{Trigger{"consent", "the AI notice, and how to ask visitors for their agreement"}, demoConsent},
}

// DemoTriggers returns the words that [Demo] reacts to, in the order in which it
// checks them.
func DemoTriggers() []Trigger {
	var triggers []Trigger
	for _, t := range tricks {
		triggers = append(triggers, t.Trigger)
	}
	return triggers
}

// Demo returns a script that demonstrates the features of a chat. It reacts to the
// words of [DemoTriggers]; to anything else it gives a short answer that lists
// them. With [WithPace] it also pauses as an agent would.
func Demo() Script {
	var cases Cases
	for _, t := range tricks {
		cases = append(cases, Case{Word: t.Word, Script: t.script})
	}
	return cases.Or(demoWelcome)
}

// beat pauses for the time of a few words.
func beat(c *Chat) { c.Pause(12 * c.server.pace) }

func demoWelcome(c *Chat) {
	var b strings.Builder
	if said := strings.Join(strings.Fields(c.Prompt()), " "); said != "" {
		if r := []rune(said); len(r) > 120 {
			said = string(r[:120]) + "…"
		}
		fmt.Fprintf(&b, "You said “%s”", said)
	} else {
		b.WriteString("You said nothing")
	}
	switch n := len(c.Attachments()); n {
	case 0:
		b.WriteString(". ")
	case 1:
		fmt.Fprintf(&b, " and sent %s. ", c.Attachments()[0].Name)
	default:
		fmt.Fprintf(&b, " and sent %d files. ", n)
	}
	if c.Turn() == 1 {
		b.WriteString("Welcome! ")
	}
	b.WriteString("I am a **scripted agent**, without a model or a key. My messages pass through the relay like those of a real agent. " +
		"Send one of these words to try a feature:\n\n")
	for _, t := range tricks {
		fmt.Fprintf(&b, "- **%s** – %s\n", t.Word, t.Shows)
	}
	b.WriteString("\nOr open this page in a second tab: both tabs show the same chat.")
	c.Say(b.String())
}

func demoTool(c *Chat) {
	c.Say("Let me look at the project first.")
	beat(c)
	c.Tool("Bash", map[string]any{"command": "ls -1 docs | wc -l"})
	beat(c)
	c.Tool("Read", map[string]any{"file_path": "docs/embedding.md"})
	beat(c)
	c.Tool("Grep", map[string]any{"query": "data-title", "path": "web"})
	beat(c)
	c.Say("Done: I ran a *command*, read a *file* and searched a *folder*. " +
		"What visitors see of this depends on `RELAY_VISIBILITY`: nothing with `chat`, " +
		"the names of the tools and a short summary with `tools`, everything with `full`.")
}

func demoCode(c *Chat) {
	c.Say("One tag adds this chat to a page:\n\n" +
		"```html\n" +
		"<script async src=\"https://relay.example.com/widget.js\"\n" +
		"        data-title=\"Ask us\"></script>\n" +
		"```\n\n" +
		"A page can also control it, even before it has loaded:\n\n" +
		"```js\n" +
		"window.RelayChat = window.RelayChat || [];\n" +
		"RelayChat.push([\"open\", { message: \"Where is my order?\" }]);\n" +
		"```\n\n" +
		"Inline code looks `like this`.")
}

func demoTable(c *Chat) {
	c.Say("Three ways to add the chat to a page:\n\n" +
		"| Mode | Position | Good for |\n" +
		"| --- | --- | ---: |\n" +
		"| `popup` | behind a button in the corner | most sites |\n" +
		"| `inline` | where the element is | help pages |\n" +
		"| `page` | the whole window | a link in an email |\n\n" +
		"A wide table scrolls on its own; the page does not.")
}

func demoQuestion(c *Chat) {
	c.Say("Before I start, I have a question.")
	answer := c.Ask("What are you building?", "A shop", "A documentation site", "Something else")
	c.Say(fmt.Sprintf("“%s” – noted. The agent waited for your answer, and would have "+
		"kept waiting if you had reloaded this page.", answer))
}

func demoPermission(c *Chat) {
	c.Say("I would like to clean up the build cache.")
	if c.Permit("Bash", map[string]any{"command": "rm -r build/cache"}) {
		c.Tool("Bash", map[string]any{"command": "rm -r build/cache"})
		c.Say("Thank you. This is a demo, so nothing was deleted.")
		return
	}
	c.Say("OK, I will not change anything.")
}

func demoFail(c *Chat) {
	c.Say("I am starting the task, but then")
	beat(c)
	c.Fail("The scripted sandbox failed, as requested.")
}

// demoContext shows the visitor's context that came with the message, in a code
// fence so that it cannot be mistaken for markup of the answer.
func demoContext(c *Chat) {
	for _, a := range c.Attachments() {
		if a.Name == "visitor-context.json" {
			c.Say("I received this with your message. Visitors never see it:\n\n````\n" + string(a.Data) + "\n````")
			return
		}
	}
	c.Say("I received no new context with your message. A page sets it with `RelayChat.setContext({ plan: \"pro\" })`, a website with " +
		"the claim `context` of its sign-in tokens. I get it with the first message and after each change.")
}

func demoLong(c *Chat) { c.Say(longAnswer) }

func demoCount(c *Chat) {
	c.Say("I am counting to two hundred. You can stop me at any time.")
	for n := 1; n <= 200 && c.Context().Err() == nil; n++ {
		c.Say(fmt.Sprint(n))
		beat(c)
	}
}

func demoRate(c *Chat) {
	c.Say("Was this useful? Rate it with the buttons below. You can change or withdraw a rating. Every tab shows it, " +
		"and the operators' console counts it. Ratings need `RELAY_FEEDBACK=on`.")
}

func demoHistory(c *Chat) {
	c.Say("The menu at the top of this chat lists your earlier conversations. If you start a new one there, you can still read " +
		"this one. Reading wakes no sandbox and costs nothing. With the same menu you can download all conversations, or delete " +
		"one, here and at AnyFrame.")
}

func demoConsent(c *Chat) {
	c.Say("The line below the message box says that I am an AI and can make mistakes. To ask for agreement before the first " +
		"message, restart the demo with\n\n" +
		"```sh\n" +
		"RELAY_CONSENT=\"Your messages are sent to an AI agent.\" relay demo\n" +
		"```\n\n" +
		"The widget keeps what the visitor has typed and sends it after they agree. The relay refuses messages until then.")
}

func demoThink(c *Chat) {
	c.Think("The visitor wants to see me think. Three pots, two lids: one pot stays open whatever I do.")
	beat(c)
	c.Think("So the honest answer is that it cannot be done, and why.")
	beat(c)
	c.Say("I have thought about it: it can't be done, because there is one lid too few. " +
		"Visitors do not see my thoughts unless `RELAY_VISIBILITY` is `full`.")
}
