// Package clientip determines the address that a request is counted by: that of the
// connection, or of the client that a trusted proxy reports. IPv6 addresses are counted
// by /64; their /48 is the network that several of them share.
package clientip
