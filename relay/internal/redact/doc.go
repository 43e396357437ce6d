// Package redact keeps secrets out of what visitors and operators see: it masks keys in
// texts and JSON, and errors and keys in log lines, and has the type of settings that
// never show.
package redact
