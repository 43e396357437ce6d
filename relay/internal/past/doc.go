// Package past reads a visitor's ended conversations from AnyFrame's transcript and the
// notes in the store, as the visitor's own stream would show them, and encodes them as
// JSON. It keeps no conversation in memory, and wakes no sandbox.
//
// It does not depend on HTTP: its caller authorizes readers and transports the result.
package past
