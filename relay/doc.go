// Package relay lets a visitor on any web page talk to an AnyFrame agent without ever
// holding its key.
//
// [Config] is all that a relay needs to know, [New] builds one, and [Server] has its HTTP
// handler, its health and its shutdown. Everything else is under relay/internal and not
// part of the interface: ARCHITECTURE.md says what is where.
package relay
