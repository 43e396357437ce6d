// Package visitor authenticates visitors. It creates, resolves, extends and revokes
// visitor tokens, and verifies the website's own JWTs, whose sub identifies a visitor on
// every device.
//
// It stores tokens by their hashes, and the visitor id of an identity in a note. It does
// not depend on HTTP: the caller decides how a token is transported (cookie or bearer)
// and which origins may send one. Nor does it depend on sessions.
package visitor
