// Package intake reads AnyFrame's log of a conversation into it: from the event
// stream as it comes, and from the transcript where the stream left something out,
// where a session sleeps, and for readers of the past.
//
// An [Intake] belongs to one visitor's session and reads for whichever conversation it
// is given. It decides in which order things reach the conversation: holes are filled
// first, and a message that is on its way to AnyFrame, from here or from another
// replica, goes before what the agent says to it.
//
// It does not know sandboxes, turns or requests: whether to read, and what to do when a
// stream has ended, is decided by package session.
package intake
