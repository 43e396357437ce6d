// Package usage counts what happens at a site, per day of UTC: turns, new sessions and
// ratings. The counters are the store's, so that they hold over all processes and
// restarts, and expire by themselves.
//
// It knows neither visitors nor HTTP, and limits nothing: that is package limits'.
package usage
