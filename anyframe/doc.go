// Package anyframe is a client of the AnyFrame API: all of its operations, waits,
// and streams that survive a broken connection.
//
//	client, err := anyframe.New() // ANYFRAME_API_KEY from the environment or .env
//	session, err := client.Sessions.EnsureRunning(ctx, id, anyframe.WaitOptions{})
//	for event, err := range client.Sessions.Turn(ctx, id, anyframe.Message{Prompt: "hi"}, anyframe.StreamOptions{}) {
//		…
//	}
//
// An agent is a configuration that is built into an image. A session is a sandbox
// that runs the image, with a chat; left alone it stops with a snapshot and can be
// resumed. [New] makes a [Client], which is safe for concurrent use:
//
//	Client.Me, Client.Do   whose key it is; any call that has no method here
//	Client.Agents          agents and their builds; .Skills .MCPs .Connectors
//	Client.Sessions        sandboxes, messages, streams, transcripts; .Previews
//	Client.Connectors      MCP servers for all agents, and their catalog
//	Client.Credentials     what agents log in with
//	Client.Tokens          keys of this API
//	Client.Attention       what waits for a person
//
// Reading what an agent says: [SessionsService.Turn] sends a message and yields the
// turn's events, [SessionsService.Follow] yields a session's events for as long as
// it runs, [SessionsService.Events] is one connection, [SessionsService.Transcript]
// is the past. [Event.Payload] decodes an event, [Reply] puts text together.
//
// Waiting: [SessionsService.EnsureRunning], [SessionsService.WaitUntilRunning],
// [AgentsService.BuildAndWait], [AgentsService.WaitForBuild].
//
// Every failure of a call is an [*Error], which matches sentinels such as
// [ErrNotFound]; [Error.Sent] says whether the server may have acted. Calls are
// retried only where that is safe; see [RetryPolicy]. Every method takes
// [CallOption] values at the end. Zero is the default of every limit, and a
// negative value means none.
//
// Optional parameters can be nil and are then not sent; new("") and empty lists are
// sent. Answers are read tolerantly: a member that is new is ignored, one of another
// type is read as what it plainly means, such as "7" or 7.0 for 7, or counts as
// absent, and values of the open string types are passed on as they come.
//
// No error, log or print has the key, or a [Secret] of a request, in it. Package
// anyframetest is a scripted API for tests. docs/go-client.md in the repository has
// a page to start with, and compares with the Python and Node clients.
package anyframe
