// Package admin serves the operators' HTTP requests: the API under /api, which the
// program's commands and the console use. It authenticates operators by token, refuses
// requests from other websites, and writes an audit line for every change.
//
// It owns routes, decoding and answers. Package control implements pauses and blocks,
// package session conversations. It must not depend on the visitors' API.
package admin
