// Package session is a visitor's chat: the sandbox, the turns on their way to it, the
// prompts and their answers, and what other replicas do to the same chat.
//
// A [Session] owns no conversation. It decides which [conversation.Conversation] is the
// present one, and lets its parts work, each of which has a lock of its own:
//
//	record    the stored row, and its repair        package record; takeover.go
//	standing  status, and the view of it            standing.go, look.go
//	reader    at most one pump, and its wake call   package pump; wake.go, pump.go
//	queue     one turn at a time, in order          package turnqueue; turns.go
//	courier   what is said to AnyFrame, once        package delivery; turns.go, prompts.go
//	intake    what AnyFrame says                    package intake; history.go
//	devices   tokens that have streams open         package device
//	writer    what events taught, to be stored      package writer
//	seat      admission                             package capacity
//	entry     how long it stays in memory           package roster
//	place     when its rows are looked at           package resync
//
// What this package alone knows is how they work together: which of them may do something
// when another is at it. [Hub] has the sessions of a site, and owns their goroutines.
//
// # Locks
//
// No lock is held across I/O. What must happen once at a time and takes I/O has a
// slot, a channel of one: the record's, standing.Looking, standing.Waking. The order:
//
//	slots: waking → the record's; looking is taken alone
//	the roster's and the parts' locks are leaves: never two at once, and nothing is called
//	under them but what only sets or reads memory. There are two exceptions: the reader's
//	may be held to join the Hub's group, and to look at the view; the roster's, to join or
//	leave the Hub's resync.Loop.
//	Conversation.mu → Watchers.mu → a stream's own lock → the log's; see those packages
//
// A stream looks at a session by [Session.View], one atomic load.
//
// The package does not know HTTP, streams or tokens: its caller decides who may ask and
// how an answer travels.
package session
