// Package resync finds out what other replicas did to the sessions of this process, and
// has those read again. A [Loop] asks the store about hundreds of sessions with one call,
// and about none while the backend knows that no other process has written.
//
// It owns when a session is looked at, and how many are read at once. It does not know
// what a session is, what reading it again means, or what the store's rows say.
package resync
