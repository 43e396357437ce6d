// Package conversation is one epoch of a visitor's chat: AnyFrame's events go in,
// the visitor's events come out, into the epoch's log.
//
//	AnyFrame's event ─► Conversation.Apply ─► projector (what may be seen)
//	                                        ─► merger (what AnyFrame's log lacks) ─► eventlog.Log
//
// A [Conversation] belongs to one session of AnyFrame's and is replaced, never
// changed, when the visitor gets another: a caller that still holds an old one
// appends to a closed log, which does nothing. Only this package appends to a log.
//
// The package does no network call. The one store call on an event's way is that
// for a prompt, which is stored before it can be seen, with nothing locked.
// What else an event taught is returned as an [Effect] for the caller to persist.
// It does not know sessions, streams or HTTP.
package conversation
