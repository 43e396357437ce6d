// Package limits decides who may do how much: requests of an address, turns of
// a visitor, new sessions, open event streams, and request bodies in memory.
//
// Requests, streams and bodies are counted in this process. What costs money is
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
