// Package limits enforces limits: requests per address, turns per visitor, new sessions,
// open event streams, and the memory of request bodies and answers.
//
// A [Share] bounds a shared resource: in total, per visitor, per address and per network.
// Package session also uses it for concurrent reads from AnyFrame and from the store, and
// package capacity for concurrent evictions.
//
// Requests, streams, bodies and answers are counted in this process. Whatever costs money
// is counted in the store, for all processes together. The package uses addresses and
// opaque visitor ids. It does not depend on HTTP, tokens, sessions or the format of
// refusals.
//
// Requests are counted by a sliding window of our own, and not by the middleware of
// go-chi/httprate. Its LimitCounter returns how often a key was seen, but not when there
// is room again, which Retry-After needs, and its limiter requires an
// http.ResponseWriter. The relay uses only CanonicalizeIP of httprate (package clientip).
package limits
