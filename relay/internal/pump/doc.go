// Package pump gets the sandbox of a visitor's session running and reads AnyFrame's
// stream. It uses a goroutine only while it may block.
//
// A [Reader] owns at most one [Pump] and at most one [Call], the attempt to get the
// sandbox running that the pump will make. Racing tabs therefore wait for one attempt,
// and one place records whether the sandbox is being woken. A pump with nothing to do
// ends; the next caller that needs one starts another.
//
// The package schedules the work. [Hooks] provide the rest: how to wake a sandbox, how to
// read a stream, and the session's status.
package pump
