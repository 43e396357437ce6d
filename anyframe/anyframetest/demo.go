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
	{Trigger{"tool", "the agent using tools on the way to its answer"}, demoTool},
	{Trigger{"code", "a block of code"}, demoCode},
	{Trigger{"table", "a table"}, demoTable},
	{Trigger{"question", "a question with options, which you answer"}, demoQuestion},
	{Trigger{"permission", "the agent asking whether it may"}, demoPermission},
	{Trigger{"fail", "a turn that fails halfway"}, demoFail},
	{Trigger{"long", "an answer of several screens, with headings, lists, links and a quote"}, demoLong},
	{Trigger{"context", "what the page and the website told the agent about you"}, demoContext},
	{Trigger{"think", "the agent thinking before it speaks"}, demoThink},
	{Trigger{"count", "an answer that goes on for minutes, for you to stop"}, demoCount},
	{Trigger{"rate", "an answer that you can rate"}, demoRate},
	{Trigger{"history", "where earlier conversations are, and how to keep or delete them"}, demoHistory},
	{Trigger{"consent", "how visitors are told what this is, and asked whether they agree"}, demoConsent},
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
	b.WriteString("I am a **scripted agent**: no model and no key, but every word takes the way a real one's would. " +
		"Use one of these words and see what happens:\n\n")
	for _, t := range tricks {
		fmt.Fprintf(&b, "- **%s** – %s\n", t.Word, t.Shows)
	}
	b.WriteString("\nOr open this page in a second tab: both show the same chat.")
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
		"What a visitor sees of that depends on `RELAY_VISIBILITY`: nothing with `chat`, " +
		"the tools' names and a short summary with `tools`, everything with `full`.")
}

func demoCode(c *Chat) {
	c.Say("One tag puts this chat on a page:\n\n" +
		"```html\n" +
		"<script async src=\"https://relay.example.com/widget.js\"\n" +
		"        data-title=\"Ask us\"></script>\n" +
		"```\n\n" +
		"And a page can talk to it, even before it has loaded:\n\n" +
		"```js\n" +
		"window.RelayChat = window.RelayChat || [];\n" +
		"RelayChat.push([\"open\", { message: \"Where is my order?\" }]);\n" +
		"```\n\n" +
		"Inline code looks `like this`.")
}

func demoTable(c *Chat) {
	c.Say("Three ways to put the chat on a page:\n\n" +
		"| Mode | Where it is | Good for |\n" +
		"| --- | --- | ---: |\n" +
		"| `popup` | behind a button in the corner | most sites |\n" +
		"| `inline` | where the element is | help pages |\n" +
		"| `page` | all of the window | a link in a mail |\n\n" +
		"A wide table scrolls by itself and leaves the page alone.")
}

func demoQuestion(c *Chat) {
	c.Say("Before I begin I need to know something.")
	answer := c.Ask("What are you building?", "A shop", "A documentation site", "Something else")
	c.Say(fmt.Sprintf("“%s” – noted. The agent stood still until your answer came, and would have done so over a "+
		"reload of this page.", answer))
}

func demoPermission(c *Chat) {
	c.Say("I would like to tidy up a little.")
	if c.Permit("Bash", map[string]any{"command": "rm -r build/cache"}) {
		c.Tool("Bash", map[string]any{"command": "rm -r build/cache"})
		c.Say("Thank you. Nothing was deleted, though: this is a demonstration.")
		return
	}
	c.Say("Then I leave everything as it is.")
}

func demoFail(c *Chat) {
	c.Say("I begin in good spirits, and then")
	beat(c)
	c.Fail("The scripted sandbox failed, as asked.")
}

// demoContext shows the visitor's context that came with the message, in a code
// fence so that it cannot be mistaken for markup of the answer.
func demoContext(c *Chat) {
	for _, a := range c.Attachments() {
		if a.Name == "visitor-context.json" {
			c.Say("This came with your message, and only I can see it:\n\n````\n" + string(a.Data) + "\n````")
			return
		}
	}
	c.Say("Nothing new came with your message about you. A page tells me with `RelayChat.setContext({ plan: \"pro\" })`, a website with " +
		"the claim `context` of its sign-in tokens. I am told with the first message and when something has changed.")
}

func demoLong(c *Chat) { c.Say(longAnswer) }

func demoCount(c *Chat) {
	c.Say("I am counting to two hundred. Stop me whenever you like.")
	for n := 1; n <= 200 && c.Context().Err() == nil; n++ {
		c.Say(fmt.Sprint(n))
		beat(c)
	}
}

func demoRate(c *Chat) {
	c.Say("Was this of any use? The thumbs below say so, and a thumb can be changed or taken back. Every tab shows it, " +
		"and the operator's console counts it. The thumbs are there with `RELAY_FEEDBACK=on`.")
}

func demoHistory(c *Chat) {
	c.Say("The menu at the top of this chat has your earlier conversations: begin a new one there, and this one is kept " +
		"for you to read. To read it wakes nothing and costs nothing. The same menu gives you a copy of everything, and deletes a " +
		"conversation, here and at AnyFrame.")
}

func demoConsent(c *Chat) {
	c.Say("Below the box where you type, a line says that I am an AI and may be wrong. To ask for agreement before the first " +
		"message, start the demo once more with\n\n" +
		"```sh\n" +
		"RELAY_CONSENT=\"Your messages are sent to an AI agent.\" relay demo\n" +
		"```\n\n" +
		"What a visitor has typed by then stays, and is sent when they agree. The relay itself refuses messages before that.")
}

func demoThink(c *Chat) {
	c.Think("The visitor wants to see me think. Three pots, two lids: one pot stays open whatever I do.")
	beat(c)
	c.Think("So the honest answer is that it cannot be done, and why.")
	beat(c)
	c.Say("I have thought about it: it can't be done, since there is one lid too few. " +
		"My thoughts themselves stay hidden unless the relay is told to show everything.")
}
