// Package webhook tells a receiver of the operator's what happens: conversations that
// begin and end, prompts that wait, turns that fail. It owns the outbox, the records of
// events that have yet to go out, and delivers them as Standard Webhooks
// (https://www.standardwebhooks.com), or as messages for Slack or Discord.
//
// An event is stored before it is sent, under an id that is made of what it is about:
// so it arrives at least once, over restarts and whichever process stores it, always
// with the same id, and an event that two processes see is one. The events of one
// conversation are sent in order. One process at a time sends, by a lease.
//
// No word of a conversation gets in here. The package does not know sessions or HTTP
// routes: others say what happens.
package webhook
