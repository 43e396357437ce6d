// Package anyframe is a client of the AnyFrame control plane: all of its API,
// with waits, streams that survive, and nothing beyond the standard library but
// the reader of .env files.
//
// An agent is a configuration: a repository, a prompt, skills, MCP servers. It is
// built into an image. A session is a sandbox that runs the image, with a chat in
// which messages are answered turn by turn; left alone it stops with a snapshot,
// and comes back from it.
//
// [New] makes a [Client], whose fields are the services:
//
//	Client.Me              whose key it is
//	Client.Agents          agents and their builds
//	  .Skills .MCPs        what one agent can do
//	  .Connectors          which connectors one agent uses
//	Client.Sessions        sandboxes, snapshots, messages, streams, transcripts
//	  .Previews            servers inside a sandbox
//	Client.Connectors      MCP servers for all agents, and their catalog
//	Client.Credentials     what agents log in with
//	Client.Tokens          keys of this API
//	Client.Attention       what waits for a person
//
// From nothing to an answer: [AgentsService.Create], [AgentsService.BuildAndWait],
// [SessionsService.Create], [SessionsService.WaitUntilRunning], and then a
// [SessionsService.Turn] for each message, whose events a [Reply] makes into
// text. The examples of the package are that and two more such beginnings.
//
// # Settings
//
// What no option sets comes from the environment, and what that lacks from a
// .env file in the working directory, of which only these variables are read;
// the process environment is never written to. Empty is absent.
//
//	ANYFRAME_API_KEY    the key, required; ANYFRAME_API_TOKEN is its old name
//	ANYFRAME_BASE_URL   default https://api.anyfrm.com
//	ANYFRAME_LOG_LEVEL  debug, info, warn or error, to standard error; default none
//
// A base URL in the file counts only when the key is there too: otherwise a
// stray file could have a key sent to a host of its choosing.
//
// # Parameters and answers
//
// What must be given is a plain argument or field, and what may be left out is
// one that can be nil: nil is not sent, new("") and empty lists and maps are.
// An id that cannot be one and a required field that is missing are refused
// before anything is sent; the error names the field and matches [ErrInvalid].
//
// Answers are read tolerantly: members unknown are ignored, and statuses, types
// and times nobody has heard of are passed on or left empty, never errors. The
// Known method of each string type tells whether a value is one of its constants.
// A text or a time that is null is "" or the zero time; a number or a flag that
// may be null is a pointer. What has no fixed form is [encoding/json.RawMessage].
//
// # Calls
//
// Every call has 30 s per attempt, answer included, and up to two more attempts
// where that is safe: reads, PUTs and DELETEs after most failures, everything
// else only when it provably was not acted on; [RetryPolicy] has the table. A
// DELETE that finds nothing after an attempt whose answer was lost has succeeded.
// Redirects are not followed.
//
// Every failure of a call is an [*Error], matched by sentinels such as
// [ErrNotFound]; its Sent method says whether the server may have acted, so that
// a caller who must not do a thing twice knows when it may try again. Waits add
// [*WaitTimeoutError], [*SessionStateError] and [*BuildFailedError]. An answer of
// a preview or a message that has OK false is no error.
//
// # Streams
//
// Events is one connection. Follow is as many as it takes: it continues after
// the last event that came whole, drops what it has yielded before, and backs
// off when nothing new comes. Turn is a message and Follow up to the turn's
// result. StreamBuild does for the log of a build what Follow does for a session.
//
// All are iterators that send nothing until ranged over, that run in the
// goroutine that ranges over them, that yield an error at most once and last, and that
// close their connection when the loop is left. A stream has no timeout but for
// silence: any byte counts as life, and the time that the loop's body takes does
// not count.
//
// An event's seq, the number in its id, rises through a session and may skip.
// Events without one are passed on as they come and are not repeated when a
// connection breaks. [Event.Payload] decodes what an event says; what it does not
// know is an [Unknown] with all of its JSON.
//
// # Secrets
//
// The key is in no error, log or print of a client, whatever a server echoes, and
// neither are the tokens and environment variables of a request. A token in an
// answer is a [Secret], which prints as afm_…wxyz and is had by Reveal.
//
// # Tests
//
// Package anyframetest is a control plane in memory, on a loopback port: what is
// created there can be listed, agents say what a test scripts, and requests and
// streams fail when a test wants them to.
package anyframe
