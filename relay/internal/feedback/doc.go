// Package feedback stores visitors' feedback about answers, and shows the ratings of a
// visitor to all streams of the process, whichever replica received them.
//
// Only the last word about a turn is kept. Comments are for the operator and the
// visitor's own export: a [Board] has none.
//
// It does not depend on HTTP, streams, or the existence of turns.
package feedback
