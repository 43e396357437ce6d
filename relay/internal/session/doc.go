// Package session implements a visitor's chat: the sandbox, the turns in flight, the
// prompts and their answers, and changes that other replicas make to the same chat.
//
// A [Session] does not implement the conversation. It decides which
// [conversation.Conversation] is current and coordinates its parts. Each part has its own
// lock:
//
//	record    the stored row, and its repair        package record; takeover.go
//	standing  status, and the view of it            standing.go, look.go
//	reader    at most one pump, and its wake call   package pump; wake.go, pump.go
//	queue     one turn at a time, in order          package turnqueue; turns.go
//	courier   posts to AnyFrame, at most once       package delivery; turns.go, prompts.go
//	intake    events from AnyFrame                  package intake; history.go
//	devices   tokens that have open streams         package device
//	writer    what events reveal, to be stored      package writer
//	seat      sandbox admission                     package capacity
//	entry     how long it stays in memory           package roster
//	place     when its rows are checked             package resync
//
// This package alone decides how the parts work together: which of them may act while
// another is active. [Hub] holds the sessions of a site and owns their goroutines.
//
// # Locks
//
// No lock is held across I/O. An operation that does I/O and must not run concurrently
// has a slot, a channel with a capacity of one: the record's, standing.Looking,
// standing.Waking. The order:
//
//	slots: waking → the record's; looking is taken alone
//	The roster's lock and the parts' locks are leaves: never two at once, and code under
//	them only reads or sets memory. There are two exceptions: the reader's lock may be
//	held while joining the Hub's group and while reading the view; the roster's, while
//	joining or leaving the Hub's resync.Loop.
//	Conversation.mu → Watchers.mu → a stream's own lock → the log's; see those packages
//
// A stream reads a session's state with [Session.View], one atomic load.
//
// The package does not depend on HTTP, streams or tokens: its caller authorizes requests
// and transports answers.
package session
