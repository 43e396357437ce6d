// Package anyframetest is a scripted AnyFrame control plane: the whole API over
// real HTTP, with scripted agents and with faults on demand.
//
// Start a server in a test, point the client at [Server.URL] with [Server.Key], and
// write the agent's side of the conversation as a [Script]:
//
//	cp := anyframetest.Start(t, anyframetest.WithAgent(7, func(c *anyframetest.Chat) {
//		c.Say("Which color?")
//		c.Say("Then " + c.Ask("Pick one", "red", "green") + " it is.")
//	}))
//
// # State
//
// A [Server] holds sessions. Each session has a status, with the same transitions
// as AnyFrame's (booting, running, snapshotting, terminated, and back to booting by
// resume), and a log of numbered events that outlives its sandboxes. A message that
// arrives takes the next number and starts a turn. The agent's script runs in its
// own goroutine, one at a time for each session, and its output is appended to the
// log. Messages that arrive meanwhile are queued. An event stream is a cursor into
// the log: it sends the existing events first, then new ones.
//
// The server also holds the rest of the account: tokens, which give access to the
// API until they are revoked, credentials, connectors and their catalog, agents
// with their skills, MCPs, toggles and builds, and the previews of each session.
// Everything that is created can be listed, changed and deleted. Errors have
// AnyFrame's statuses: 404 for a missing object, 409 for an operation that is not
// possible now, 422 with a list of all errors in a request. Every integer id is
// unique. Secrets are shown once or by their last four characters, and values of
// environment variables never.
//
// A build takes the time set by [WithBuildDelay] and succeeds unless
// [Server.FailBuilds] was called; [WithBuildLog] sets its log. An OAuth connector
// is authorized when [Server.FinishOAuth] is called with its state. A preview that
// needs a port that is not among its agent's restarts the sandbox: the turn and the
// streams in it end.
//
// # Faults
//
// [Server.Inject] makes requests fail like networks and servers do: see [Fault].
// The methods [Server.Sleep], [Server.Delete], [Server.SetStatus],
// [Server.SetBuildState], [Server.ExpireConnector], [Server.ExitPreview],
// [Server.Post] and [Server.UserMessage] act as the operator in the console.
// [Server.EndStreams], [Server.CutStreams], [Server.CutConnections], [Server.Down]
// and [Server.Up] act as the machines in between. [Server.WaitFor] waits for a
// condition without sleeping.
//
// # TLS and HTTP/2
//
// A server uses plain HTTP/1.1. [WithTLS] makes it serve HTTPS with HTTP/2, with
// the caller's certificate or with a generated one that [Server.Client] and
// [Server.Certificate] provide.
//
//	cp := anyframetest.Start(t, anyframetest.WithTLS())
//	client := cp.Client() // or a pool of roots with cp.Certificate() in it
//
// # Independence
//
// The package imports only the standard library, and in particular no client. It
// implements the wire format a second time, so that a client's misunderstanding of
// the format does not cancel itself out.
//
// A Server is safe for concurrent use.
package anyframetest
