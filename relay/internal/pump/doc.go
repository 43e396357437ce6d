// Package pump is the one thing of a visitor's session that gets the sandbox running and
// reads AnyFrame's stream. It has a goroutine only while there is something to do that
// takes time.
//
// A [Reader] owns at most one [Pump], and at most one [Call], the attempt to get the
// sandbox running that the pump is to make. So racing tabs wait for one attempt, and one
// place knows whether the sandbox is being woken. A pump that has nothing to do ends; the
// next caller that needs one starts another.
//
// The package decides who does what when. How a sandbox is woken, how a stream is read and
// what a session's status is, it is told by [Hooks].
package pump
