// Package visitorctx is what a page and a website tell the agent about a visitor: it
// checks contexts, writes them as one canonical form, makes the attachment by which
// AnyFrame gets them, and keeps what AnyFrame last accepted in each epoch, so that it is
// sent again only when it has changed, whatever processes end meanwhile.
//
// It knows nothing of HTTP, JWTs, sessions or turns beyond their keys. What a context
// says is never logged.
package visitorctx
