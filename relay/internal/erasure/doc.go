// Package erasure deletes conversations at AnyFrame and here: those that a visitor or an
// operator wants gone, and those that were idle for as long as retention allows.
//
// An erasure is a record of the store, saved before anything is promised. A [Worker] in
// every replica looks for what is due; a lease lets one at a time do it. Every step may be
// done again, so that a worker that dies costs a delay:
//
//	hide      the conversation is no longer shown, and its record is kept
//	end       its sandbox, streams and row; all of a visitor: every token, too
//	AnyFrame  DELETE until it says 204 or 404; at 409 the sandbox is terminated first
//	here      notes, record, and what others keep of it
//	scrub     the words are in no file of the store
//	settle    after a while all of it again, for what a replica wrote that did not know yet
//
// The package does not know HTTP, sessions or streams: [Ender] ends what goes on.
package erasure
