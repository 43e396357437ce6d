// Package anyframetest is a scripted AnyFrame control plane: the part of the
// API that a chat needs, spoken over real HTTP, with an agent that says what a
// test wants it to say and a network that fails when a test wants it to.
//
// A test starts one, points its client at [Server.URL] with [Server.Key], and
// writes the agent's side of the conversation as a [Script]:
//
//	cp := anyframetest.Start(t, anyframetest.WithAgent(7, func(c *anyframetest.Chat) {
//		c.Say("Which colour?")
//		c.Say("Then " + c.Ask("Pick one", "red", "green") + " it is.")
//	}))
//
// # What it keeps
//
// A [Server] holds sessions. Each session has a status, which walks the same
// way as AnyFrame's (booting, running, snapshotting, terminated, and back to
// booting by resume), and a log of numbered events that outlives its
// sandboxes. A message that arrives takes the next number and starts a turn:
// the agent's script runs in a goroutine of its own, one at a time for each
// session, and what it says is appended to the log. Messages that arrive
// meanwhile wait their turn. An event stream is a cursor into the log:
// whatever is already there first, then what comes.
//
// # What goes wrong
//
// [Server.Inject] makes requests fail in the ways networks and servers do: see
// [Fault]. The methods [Server.Sleep], [Server.Delete], [Server.SetStatus],
// [Server.Post] and [Server.UserMessage] are the operator at his console, and
// [Server.EndStreams], [Server.CutStreams], [Server.Down] and [Server.Up] the
// machines in between. [Server.WaitFor] waits for anything to become true
// without sleeping.
//
// # What it does not share
//
// The package imports nothing but the standard library, and in particular no
// client: what it writes and reads is spelled out here a second time, so that
// a client's misunderstanding of the wire does not cancel itself out.
//
// A Server is safe for use from any number of goroutines.
package anyframetest
