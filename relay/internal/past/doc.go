// Package past reads a visitor's conversations that are over, from AnyFrame's transcript and
// the notes in the store, as the visitor's own stream would show them, and encodes what it
// reads as JSON. It keeps no conversation in memory, and wakes nothing.
//
// It does not know HTTP: its caller decides who may read and how the answer travels.
package past
