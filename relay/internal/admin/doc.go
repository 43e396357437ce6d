// Package admin answers the operators' HTTP requests: the API under /api that the
// commands of the program and the console's page call. It identifies the operator
// by a token, keeps other websites out, and writes an audit line for everything
// that changes something.
//
// It owns routes, decoding and answers. What a pause or a block does is package
// control's; what a conversation is, package session's. It must not know how
// visitors ask for things.
package admin
