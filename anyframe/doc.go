// Package anyframe is a client for the AnyFrame API: all of its operations, waits,
// and streams that resume after a broken connection.
//
//	client, err := anyframe.New() // ANYFRAME_API_KEY from the environment or .env
//	session, err := client.Sessions.EnsureRunning(ctx, id, anyframe.WaitOptions{})
//	for event, err := range client.Sessions.Turn(ctx, id, anyframe.Message{Prompt: "hi"}, anyframe.StreamOptions{}) {
//		…
//	}
//
// An agent is a configuration that is built into an image. A session is a sandbox
// that runs the image, with a chat. An idle session stops with a snapshot and can
// be resumed. [New] returns a [Client], which is safe for concurrent use:
//
//	Client.Me, Client.Do   the owner of the key; calls without a method
//	Client.Agents          agents and their builds; .Skills .MCPs .Connectors
//	Client.Sessions        sandboxes, messages, streams, transcripts; .Previews
//	Client.Connectors      MCP servers for all agents, and their catalog
//	Client.Credentials     credentials that agents log in with
//	Client.Tokens          keys of this API
//	Client.Attention       sessions that wait for a person
//
// To read an agent's output, use [SessionsService.Turn], which sends a message and
// yields the turn's events, or [SessionsService.Follow], which yields a session's
// events for as long as it runs. [SessionsService.Events] reads one connection,
// [SessionsService.Transcript] past events. [Event.Payload] decodes an event,
// [Reply] assembles text.
//
// To wait, use [SessionsService.EnsureRunning], [SessionsService.WaitUntilRunning],
// [AgentsService.BuildAndWait] or [AgentsService.WaitForBuild].
//
// Every failed call returns an [*Error], which matches sentinels such as
// [ErrNotFound]; [Error.Sent] reports whether the server may have acted. Calls are
// retried only if that is safe; see [RetryPolicy]. Every method takes [CallOption]
// values at the end. For every limit, zero means the default and a negative value means
// none: no timeout, no retries, no wait.
//
// Optional parameters can be nil and are then not sent; new("") and empty lists are
// sent. Responses are decoded tolerantly. An unknown member is ignored. A member of
// another type is converted if its meaning is clear, such as "7" or 7.0 for 7;
// otherwise it counts as absent. Unknown values of the open string types are kept.
//
// No error, log record or formatted value contains the key, or a [Secret] of a
// request. Package anyframetest is a scripted API for tests. docs/go-client.md in
// the repository is an introduction, with a comparison with the Python and Node
// clients.
package anyframe
