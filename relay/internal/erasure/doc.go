// Package erasure deletes conversations at AnyFrame and in the store: those that a
// visitor or an operator requested, and those that were idle for the retention period.
//
// An erasure is a record in the store, saved before it is confirmed. A [Worker] in every
// replica looks for due erasures; a lease lets one replica at a time process them. Every
// step is idempotent, so a crash of a worker only causes a delay:
//
//	hide      the conversation is no longer shown, and its record is kept
//	end       its sandbox, streams and row; for a whole visitor also every token
//	AnyFrame  DELETE until it returns 204 or 404; on 409 the sandbox is first terminated
//	here      notes, record, and related data of other packages
//	scrub     the content is removed from all files of the store
//	settle    later all of it again, for writes of replicas that had not seen the erasure
//
// A visitor who has sent nothing is erased without the worker, see [Worker.Visitor].
//
// The package does not depend on HTTP, sessions or streams: [Ender] ends their activity.
package erasure
