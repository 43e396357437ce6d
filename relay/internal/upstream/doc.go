// Package upstream is AnyFrame as the relay sees it: the guard in the client's transport
// (circuit breaker, refused key, metrics), the classes of errors and what to do about
// them, and AnyFrame's events, decoded once for all who ask about them.
//
// It does not know visitors' events, sessions or HTTP answers.
package upstream
