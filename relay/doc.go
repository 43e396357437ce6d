// Package relay lets visitors of any web page talk to an AnyFrame agent. The AnyFrame key
// stays on the server.
//
// [Config] configures a relay, [New] builds one, and [Server] provides its HTTP handler,
// health checks and shutdown. Everything else is under relay/internal and not part of the
// API. ARCHITECTURE.md describes the packages.
package relay
