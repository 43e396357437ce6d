// Package capacity decides how many sandboxes are awake over all processes with the
// same store, and which of them is put to sleep when there is no room.
//
// A sandbox is counted in the store before it is woken and until AnyFrame says that
// it is down, so that there are never more than the limit. When all places are taken,
// the sandbox with the lowest rank is put to sleep; its visitor's next turn resumes
// it. A process that dies leaves its sandboxes counted for as long as they may be
// awake unused.
//
// The package knows ranks and tickets. It does not know what a sandbox is: putting one
// to sleep is a function that the [Gate] is given.
package capacity
