// Package redact keeps secrets out of output: API keys out of text that arrives in
// pieces, keys and upstream error texts out of log lines, and [Secret] values out of any
// formatting.
//
// It handles bytes and strings only. It does not depend on events, HTTP or AnyFrame.
package redact
