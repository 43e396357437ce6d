// Package limits decides who may do how much: requests of an address, turns of
// a visitor, new sessions, open event streams, and request bodies and answers in
// memory.
//
// A [Share] bounds what visitors share: in all, per visitor, per address and per
// network. Package session uses it too, for the slots of reads from AnyFrame and of
// reads from the store, and package capacity for the slots in which it makes room.
//
// Requests, streams, bodies and answers are counted in this process. What costs money is
// counted in the store, for all processes together. The package knows addresses
// and opaque visitor ids. It knows nothing of HTTP, tokens, sessions or how a
// refusal is written.
//
// Requests are counted by a sliding window of the package's own, and not by the
// middleware of go-chi/httprate. Its LimitCounter says how often a key was seen
// but not when there is room again, which Retry-After must tell, and the limiter
// can be asked only with an http.ResponseWriter. Of httprate, the relay uses
// CanonicalizeIP (package clientip).
package limits
