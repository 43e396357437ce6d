// Package visitor authenticates visitors: it makes, resolves, extends and revokes
// visitor tokens, and verifies the website's own JWTs, whose sub names a visitor
// on every device.
//
// It keeps tokens in the store by their hashes, and who an identity is in a note.
// It knows nothing of HTTP: how a token travels (cookie or bearer) and which
// origins may send one is for the caller. It knows nothing of sessions either.
package visitor
