// Package h2events carries AnyFrame's event streams over HTTP/2 (RFC 9113) for far less
// than net/http: one goroutine a connection reads the frames of all its streams, and a
// stream that waits is a struct without goroutine, buffer or timer.
//
// A [Transport] is an [http.RoundTripper]. It makes GET …/events over https itself and
// leaves all else to an [http.Transport], which also opens its connections: dialer,
// proxy, TLS settings and the choice of the protocol (ALPN) are the same for both, and a
// server that does not choose h2 is spoken to by net/http. The body of an answer can be
// read by a goroutine that waits, or by the goroutine that brings its bytes: see
// [github.com/anyframe-relay/relay/anyframe.Follower].
//
// Files: transport.go chooses, pool.go has the connections of a host, conn.go is one
// connection, frames.go what its server sends, request.go what it is sent, stream.go one
// stream.
//
// The package knows nothing of events, sessions or the relay.
package h2events
