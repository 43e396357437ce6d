// Package feedback keeps what visitors say about answers, in the store, and shows the
// ratings of a visitor to all streams of the process, whichever replica took them.
//
// The last word about a turn counts, and is the only one that is kept. Comments are for
// the operator and the visitor's own export: no [Board] has them.
//
// It does not know HTTP, streams, or which turns there are.
package feedback
