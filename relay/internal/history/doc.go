// Package history remembers which conversations a visitor has had: for each epoch
// AnyFrame's ids, a title, and when it began and was last active. A conversation's words
// are AnyFrame's, except for the title.
//
// A record of the store is one conversation. Its key is the id by which an operator
// names it, its owner the visitor, and it is due when it was last active, so that the
// store finds the idlest and the latest.
//
// The package does no call to AnyFrame. It does not know sessions, HTTP, or why a
// conversation is erased.
package history
