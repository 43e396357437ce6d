// Package resync detects changes that other replicas made to the sessions of this
// process, and has those sessions read again. A [Loop] checks hundreds of sessions with
// one call to the store, and makes no call while the backend reports that no other
// process has written.
//
// It decides when sessions are checked, and how many are read at once. It does not depend
// on sessions, on how they are read, or on the content of the store's rows.
package resync
