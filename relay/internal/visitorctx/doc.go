// Package visitorctx handles the context about a visitor that a page and a website send
// to the agent. It validates contexts, converts them to a canonical form, and builds the
// attachment that carries them to AnyFrame. It stores what AnyFrame last accepted in each
// epoch, so that a context is sent again only when it has changed, also after crashes.
//
// It does not depend on HTTP, JWTs, sessions, or turns beyond their keys. The content of
// a context is never logged.
package visitorctx
