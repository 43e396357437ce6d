// Package ledger keeps what the relay knows about one epoch of a conversation
// that AnyFrame's own log does not say: the visitor's turns with their
// idempotency keys, and the agent's prompts with their answers.
//
// A [Ledger] is the memory's copy of the notes of the recent turns and prompts, and of
// those that are open. Older ones are read from the store, by their key, or by [Past]
// in the order of their places. So a turn costs the same and takes the same memory
// however many came before it. The store holds the
// truth, and only this package reads and writes notes of turns and prompts.
// Memory changes at once, and [Ledger.Persist] and [Ledger.PersistPrompt] write
// what memory says: so a slow store delays no event.
//
// A store that loses its last writes gets back what is in memory, which is at least the
// last turns that this process sent, and no more than that.
//
// The package knows notes and their states. It does not know events, streams,
// HTTP or how a turn gets to AnyFrame.
package ledger
