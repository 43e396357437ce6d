// Package clientip finds the address that a request counts for: that of the connection,
// or of the client that a trusted proxy names. IPv6 counts by /64, and its /48 is the
// network that several of them share.
package clientip
