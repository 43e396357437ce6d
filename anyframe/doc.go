// Package anyframe is a client of the AnyFrame control plane. It creates
// sessions, each a sandbox with an agent in it, sends messages to the agent and
// follows what the agent does.
//
// [New] makes a [Client]; its Sessions do the rest. A conversation goes: Create
// a session, WaitUntilRunning, Follow its stream in one goroutine, send each
// turn with Message and answer what the agent asks with Respond. A session left
// alone stops; EnsureRunning brings it back with all it knew.
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
// # Calls
//
// Every call has 30 s per attempt, answer included, and up to two more attempts
// where that is safe; [RetryPolicy] has the table. Redirects are not followed.
// Every failure is an [*Error], matched by sentinels such as [ErrNotFound]; its
// Sent method says whether the server may have acted, so that a caller who must
// not do a thing twice knows when it may try again.
//
// Answers are read tolerantly: members unknown are ignored, and statuses, types
// and times nobody has heard of are passed on or left empty, never errors.
//
// # Streams
//
// Events is one connection. Follow is as many as it takes: it continues after
// the last event that came whole, drops what it has yielded before, and backs
// off when nothing new comes. Both are iterators that send nothing until ranged
// over, that have no goroutine and no buffer of events, and that close their
// connection when the loop is left. A stream has no timeout but for silence: any
// byte counts as life, and the time that the loop's body takes does not count.
//
// An event's seq, the number in its id, rises through a session and may skip.
// Events without one are passed on as they come and are not repeated when a
// connection breaks.
package anyframe
