package delivery

import (
	"context"
	"errors"
	"slices"

	"github.com/anyframe-relay/relay/anyframe"
	"github.com/anyframe-relay/relay/relay/internal/conversation"
	"github.com/anyframe-relay/relay/relay/internal/ledger"
	"github.com/anyframe-relay/relay/relay/internal/store"
	"github.com/anyframe-relay/relay/relay/internal/visitorctx"
)

// brief adds the context about the visitor to a message, as its last attachment, if the
// agent does not have it yet. The context of the turn's first request counts.
func (d *Courier) brief(ctx context.Context, c *conversation.Conversation, turn *ledger.Turn, m *anyframe.Message) error {
	contexts := d.Contexts()
	if contexts == nil {
		return nil
	}
	now := visitorctx.Both{Verified: visitorctx.Object(turn.Verified), Page: visitorctx.Object(turn.Page)}
	more, err := contexts.Attach(ctx, d.Visitor, c.Epoch(), turn.Key, now, func(ctx context.Context, key string) (bool, error) {
		t, err := c.Ledger().Stored(ctx, key)
		if errors.Is(err, store.ErrNotFound) {
			return true, nil // too old to be stored any more
		}
		return t.State == ledger.Sent, err
	})
	if err == nil && more != nil {
		m.Attachments = append(slices.Clip(m.Attachments), *more)
	}
	return err
}
