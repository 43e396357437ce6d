// Package history records which conversations a visitor has had: for each epoch,
// AnyFrame's ids, a title, and when it began and was last active. The content of a
// conversation is stored by AnyFrame only, except for the title.
//
// Each conversation is one record in the store. Its key is the id that operators use, its
// owner is the visitor, and its due time is its last activity, so that the store can find
// the idlest and the latest.
//
// The package makes no calls to AnyFrame. It does not depend on sessions, HTTP, or the
// reasons for an erasure.
package history
