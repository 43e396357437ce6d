// Package relay lets a visitor on any web page talk to an AnyFrame agent
// without ever holding its key.
//
// Two flows make up the program, and everything has its place on one of them:
//
//	down   request → visitor → session → turn → AnyFrame
//	up     AnyFrame stream → translate → event log → every open stream
//
// Down: routes.go limits the rate (package limits) and finds the visitor
// (cookie.go, package visitor). A message
// is decoded (message.go), noted in the store under its idempotency key, waits
// for its turn and for a running sandbox (wake.go), and is posted once
// (turns.go). The answer never waits for the agent's words, only for a sandbox
// that boots, and not long.
//
// Up: each live session has one pump (pump.go), the only reader of AnyFrame's
// stream. What it reads is translated (translate.go), which drops everything
// that is not named, and appended to the session's log (package eventlog). An open
// stream (package stream) is a cursor into that log; replay and live are the same
// loop. What the log no longer keeps is read from AnyFrame's transcript through
// the same translator (history.go).
//
// Who owns what: [Server] owns the hub (hub.go), which owns every session and its
// goroutines, and the stream server, which owns the open streams. A pump's context comes from the hub and never from a request.
// AnyFrame's log is the truth about a conversation; the store (package store)
// is the truth about who the visitor is, which session is theirs, and what
// AnyFrame's log does not say: idempotency keys and answered prompts (notebook.go).
package relay
