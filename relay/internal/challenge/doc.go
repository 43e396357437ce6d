// Package challenge asks for a proof of work before a new session begins: it gives out
// challenges, checks solutions, and lets each solution count once over all processes.
//
// The wire format is ALTCHA's with SHA-256: the challenge is the hash of a salt and a secret
// number, and the browser tries numbers until it has that one. Nothing is stored for a
// challenge that is given out. The salt says until when it is good, and the signature's key
// is made of the relay's secret, the site and the visitor, so that a solution of another site
// or visitor has no valid signature. What is stored is that a solution was used, and by which
// turn, until the challenge expires.
//
// The package does not know when a challenge is asked for; that is package admission's and
// package limits'. It knows nothing of HTTP, sessions or addresses.
package challenge
