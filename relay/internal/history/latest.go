package history

import (
	"context"
	"time"
)

// Latest returns at most limit of all visitors' conversations, the one that was active
// last first: those that come after the one that was active at a time and has an id. A
// zero time begins. Those that are being erased are left out.
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
