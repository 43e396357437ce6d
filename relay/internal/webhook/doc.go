// Package webhook notifies the operator's receiver of events: conversations that begin
// and end, waiting prompts, failed turns. It owns the outbox, the records of undelivered
// events, and delivers them as Standard Webhooks (https://www.standardwebhooks.com), or
// as messages for Slack or Discord.
//
// An event is stored before it is sent, under an id derived from its content. It is
// therefore delivered at least once, across restarts and whichever process stores it,
// always with the same id, and an event that two processes see is one event. The events
// of one conversation are sent in order. One process at a time sends, under a lease.
// A process that loses the lease stops sending until it gets the lease again.
//
// Events never contain the content of a conversation. The package does not depend on
// sessions or HTTP routes: other packages report the events.
package webhook
