// Package delivery sends a visitor's messages and answers to prompts to AnyFrame, each at
// most once, whatever happens to the call. It updates the ledger before and after each
// call, so that a crash in between leaves a trace. If AnyFrame's response is lost, the
// transcript decides whether AnyFrame has the message.
//
// The package does not depend on sandboxes, queues or replicas: package session makes
// sure that this process may send the turn and that the sandbox runs.
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
	// proofWait is how long the transcript is checked for a message whose delivery is
	// uncertain.
	proofWait = 3 * time.Second
	// readWait bounds the search for the end of the transcript before a message is sent.
	readWait = 10 * time.Second
)

// Courier sends one visitor's messages to AnyFrame. The context of a call contains the
// visitor (see [upstream.For]).
type Courier struct {
	Visitor string
	Client  *anyframe.Client
	// Contexts returns what keeps the context about visitors that is sent to the agent,
	// or nil if none is sent at present.
	Contexts func() *visitorctx.Keeper
	// Log returns a logger that names the session.
	Log func() *slog.Logger
	// Rows returns a reader of a conversation's transcript.
	Rows func(*conversation.Conversation) conversation.RowReader
	// Budget counts the turns that are sent to AnyFrame.
	Budget Budget
	// Accepted is called when AnyFrame has accepted a turn, before that is stored.
	Accepted func(context.Context, *conversation.Conversation, *ledger.Turn)
}
