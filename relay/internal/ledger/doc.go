// Package ledger keeps what the relay needs about one epoch of a conversation and
// AnyFrame's log does not contain: the visitor's turns with their idempotency keys, and
// the agent's prompts with their answers.
//
// A [Ledger] is an in-memory copy of the notes of recent and open turns and prompts.
// Older notes are read from the store, by key, or by [Past] in the order of their places.
// A turn therefore costs the same time and memory however many turns came before it. The
// store is authoritative, and only this package reads and writes notes of turns and
// prompts. Changes are made in memory first; [Ledger.Persist] and [Ledger.PersistPrompt]
// write them to the store later, so that a slow store delays no event.
//
// If a store loses its latest writes, the ledger writes back what is in memory: at least
// the last turns that this process sent, and nothing older.
//
// The package handles notes and their states. It does not depend on events, streams, HTTP
// or the delivery of turns.
package ledger
