// Package session is a visitor's chat: the sandbox, the turns on their way to it, the
// prompts and their answers, and what other replicas do to the same chat.
//
// A [Session] owns no conversation. It decides which [conversation.Conversation] is the
// present one, and lets its parts work, each with a lock of its own:
//
//	record    the stored row                      record.go, repair.go
//	sandbox   status, and the view of it          sandbox.go, wake.go
//	reader    at most one pump, and its wake call reader.go, pump.go
//	queue     one turn at a time, in order        queue.go, turns.go
//	devices   tokens that have streams open       devices.go
//	writer    what events taught, to be stored    writer.go
//	seat      admission                           package capacity
//
// [Hub] holds the sessions in memory and owns their goroutines.
//
// # Locks
//
// No lock is held across I/O. What must happen once at a time and takes I/O has a
// slot, a channel of one: record.io, sandbox.looking, sandbox.waking. The order:
//
//	slots: waking → io; looking is taken alone
//	Hub.mu and the parts' locks (record.mu, sandbox.mu, reader.mu, queue.mu, devices.mu,
//	writer.mu) are leaves: never two at once, and nothing is called under them but what
//	only sets or reads memory. reader.mu is the exception: it may be held to join the
//	Hub's group.
//	Conversation.mu → Watchers.mu → a stream's own lock → the log's; see those packages
//
// A stream looks at a session by [Session.View], one atomic load.
//
// The package does not know HTTP, streams or tokens: who may ask, and how an answer
// travels, is decided by who calls it.
package session
