// Package usage counts the usage of a site per UTC day: turns, new sessions and ratings.
// The counters are in the store, so that they cover all processes and restarts, and
// expire by themselves.
//
// It does not depend on visitors or HTTP, and limits nothing; package limits does.
package usage
