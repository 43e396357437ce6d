// Package intake reads AnyFrame's events into a conversation: from the event stream as
// they arrive, and from the transcript where the stream omitted events, where a session
// sleeps, and for readers of the past.
//
// An [Intake] belongs to one visitor's session and reads for any of its conversations. It
// decides the order in which events reach the conversation: holes are filled first, and a
// message in flight to AnyFrame, from this or another replica, goes before the agent's
// answer to it.
//
// It does not depend on sandboxes, turns or requests: package session decides whether to
// read, and what to do when a stream has ended.
package intake
