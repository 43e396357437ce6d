// Package capacity limits how many sandboxes are awake over all processes that share a
// store, and decides which one to put to sleep when the limit is reached.
//
// A sandbox is counted in the store from before it is woken until AnyFrame reports that
// it is down, so that the limit is never exceeded. When all places are taken, the sandbox
// with the lowest rank is put to sleep; its visitor's next turn resumes it. If a process
// crashes, its sandboxes stay counted for as long as they may be awake unused.
//
// The package handles ranks and tickets. It does not depend on sandboxes: the [Gate] is
// given a function that puts one to sleep.
package capacity
