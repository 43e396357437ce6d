// Package anyframetest is a scripted AnyFrame control plane: its whole API,
// spoken over real HTTP, with an agent that says what a test wants it to say
// and a network that fails when a test wants it to.
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
// Around the sessions stands the rest of the account: tokens (which open the
// API until they are revoked), credentials, connectors and the catalog they
// come from, agents with their skills, MCPs, toggles and builds, and the
// previews of each session. What is created can be listed, changed and deleted;
// what AnyFrame refuses is refused in the same words of HTTP: 404 for what is
// not there, 409 for what can't be done now, 422 with a list of everything that
// is wrong with a request. Every id that is an integer is a different one.
// Secrets are shown once or by their last four characters, and values of
// environment variables never.
//
// A build takes as long as [WithBuildDelay] says and ends well unless
// [Server.FailBuilds] was called; its log is what [WithBuildLog] says. An OAuth
// connector is authorised when [Server.FinishOAuth] is called with its state.
// A preview that needs a port that is not among its agent's restarts the
// sandbox: the turn and the streams in it end.
//
// # What goes wrong
//
// [Server.Inject] makes requests fail in the ways networks and servers do: see
// [Fault]. The methods [Server.Sleep], [Server.Delete], [Server.SetStatus],
// [Server.SetBuildState], [Server.ExpireConnector], [Server.ExitPreview],
// [Server.Post] and [Server.UserMessage] are the operator at his console, and
// [Server.EndStreams], [Server.CutStreams], [Server.CutConnections],
// [Server.Down] and [Server.Up] the machines in between. [Server.WaitFor] waits
// for anything to become true without sleeping.
//
// # TLS and HTTP/2
//
// A server speaks plain HTTP/1.1. [WithTLS] makes it speak HTTPS with HTTP/2:
// with a certificate of the caller's, or with one that it generates and that
// [Server.Client] and [Server.Certificate] hand out.
//
//	cp := anyframetest.Start(t, anyframetest.WithTLS())
//	client := cp.Client() // or a pool of roots with cp.Certificate() in it
//
// # What it does not share
//
// The package imports nothing but the standard library, and in particular no
// client: what it writes and reads is spelled out here a second time, so that
// a client's misunderstanding of the wire does not cancel itself out.
//
// A Server is safe for use from any number of goroutines.
package anyframetest
