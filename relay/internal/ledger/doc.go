// Package ledger keeps what the relay knows about one epoch of a conversation
// that AnyFrame's own log does not say: the visitor's turns with their
// idempotency keys, and the agent's prompts with their answers.
//
// A [Ledger] is the memory's copy of the epoch's notes; the store holds the
// truth, and only this package reads and writes notes of turns and prompts.
// Memory changes at once, and [Ledger.Persist] and [Ledger.PersistPrompt] write
// what memory says: so a slow store delays no event.
//
// The package knows notes and their states. It does not know events, streams,
// HTTP or how a turn gets to AnyFrame.
package ledger
