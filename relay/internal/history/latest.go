package history

import (
	"context"
	"time"
)

// Latest returns at most limit of all visitors' conversations, latest activity first:
// those that follow the conversation with the given activity time and id. A zero time
// starts at the beginning. Conversations that are being erased are omitted.
func (b *Book) Latest(ctx context.Context, active time.Time, id string, limit int) ([]Conversation, error) {
	records, err := b.Store.RecordsLatest(ctx, Kind, active, id, limit)
	if err != nil {
		return nil, err
	}
	all := make([]Conversation, 0, len(records))
	for _, r := range records {
		c, err := read(r)
		if err != nil {
			return nil, err
		}
		all = append(all, c)
	}
	return all, nil
}
