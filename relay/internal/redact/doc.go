// Package redact keeps secrets out of what people see: API keys out of text that arrives
// in pieces, keys and upstream error texts out of log lines, and [Secret] values out of
// any formatting.
//
// It knows bytes and strings only: no events, no HTTP, no AnyFrame.
package redact
