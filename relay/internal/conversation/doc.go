// Package conversation implements one epoch of a visitor's chat: it translates AnyFrame's
// events into visitors' events and appends them to the epoch's log.
//
//	AnyFrame's event ─► Conversation.Apply ─► projector (what visitors may see)
//	                                        ─► merger (what AnyFrame's log lacks) ─► eventlog.Log
//
// A [Conversation] belongs to one AnyFrame session. When the visitor gets another
// session, it is replaced, never changed: a caller with the old one appends to a closed
// log, which does nothing. Only this package appends to a log.
//
// The package makes no network calls. While it applies an event, the only store call is
// for a prompt, which is stored before it becomes visible, with no lock held. Everything
// else that an event reveals is returned as an [Effect] for the caller to store. The
// package does not depend on sessions, streams or HTTP.
package conversation
