// Package relay lets a visitor on any web page talk to an AnyFrame agent without ever
// holding its key.
//
// [Config] configures a relay, [New] builds one, and [Server] provides its HTTP handler,
// health checks and shutdown. Everything else is under relay/internal and not part of the
// API. ARCHITECTURE.md describes the packages.
package relay
