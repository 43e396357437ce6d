// Package delivery brings a visitor's words to AnyFrame: messages and answers to prompts,
// each at most once, whatever becomes of the call. Before and after a call it tells the
// ledger, so that a process that dies in between leaves a trace; if AnyFrame's answer is
// lost, its transcript decides whether AnyFrame has the message.
//
// The package does not know sandboxes, queues or replicas: that it is this process' turn to
// send, and that the sandbox runs, is seen to by package session.
package delivery

import (
	"context"
	"log/slog"
	"time"

	"github.com/anyframe-relay/relay/anyframe"
	"github.com/anyframe-relay/relay/relay/internal/conversation"
	"github.com/anyframe-relay/relay/relay/internal/ledger"
	"github.com/anyframe-relay/relay/relay/internal/visitorctx"
)

const (
	// proofWait is how long AnyFrame's transcript is asked for a message whose fate is not
	// known.
	proofWait = 3 * time.Second
	// readWait is how long the end of AnyFrame's transcript is looked for before a message
	// is sent.
	readWait = 10 * time.Second
)

// Courier brings one visitor's messages to AnyFrame. The visitor that a call is made for is
// in its context (see [upstream.For]).
type Courier struct {
	Visitor string
	Client  *anyframe.Client
	// Contexts is what the agent is told about visitors beside their words; nil: nothing.
	Contexts *visitorctx.Keeper
	// Log returns a logger that names the session.
	Log func() *slog.Logger
	// Rows returns what reads a conversation's transcript.
	Rows func(*conversation.Conversation) conversation.RowReader
	// Budget counts the turns that go to AnyFrame.
	Budget Budget
	// Accepted is called when AnyFrame has a turn, before that is stored.
	Accepted func(context.Context, *conversation.Conversation, *ledger.Turn)
}
