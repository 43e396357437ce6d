// Package h2events transports AnyFrame's event streams over HTTP/2 (RFC 9113) at a
// fraction of net/http's cost. One goroutine per connection reads the frames of all its
// streams. A waiting stream is a struct without goroutine, buffer or timer.
//
// A [Transport] is an [http.RoundTripper]. It handles GET …/events over https itself and
// leaves everything else to an [http.Transport], which also opens its connections.
// Dialer, proxy, TLS settings and protocol negotiation (ALPN) are therefore the same for
// both, and net/http handles a server that does not choose h2. The body of a response can
// be read by a goroutine that waits, or by the goroutine that delivers its bytes: see
// [github.com/anyframe-relay/relay/anyframe.Follower].
//
// Files: transport.go chooses the transport, pool.go holds the connections of a host,
// conn.go is one connection, frames.go handles the server's frames, request.go sends
// requests, stream.go is one stream.
//
// The package does not depend on events, sessions or the relay.
package h2events
