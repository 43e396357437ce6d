// Package challenge requires a proof of work before a new session begins. It issues
// challenges, checks solutions, and makes each solution count once over all processes.
//
// The wire format is ALTCHA's with SHA-256: the challenge is the hash of a salt and a
// secret number, and the browser tries numbers until it finds that one. Nothing is stored
// when a challenge is issued. The salt contains its expiry. The signature's key is
// derived from the relay's secret, the site and the visitor, so that a solution of
// another site or visitor has no valid signature. A used solution is stored, with its
// turn, until the challenge expires.
//
// The package does not decide when a challenge is required; packages admission and limits
// do. It does not depend on HTTP, sessions or addresses.
package challenge
