package visitorctx

import (
	"context"
	"errors"

	"github.com/anyframe-relay/relay/relay/internal/store"
)

// forgetPage is how many records are read at once.
const forgetPage = 100

// Forget deletes what is stored about a visitor's epoch; 0 is everything of the visitor.
// It may be called again.
func (k *Keeper) Forget(ctx context.Context, visitor string, epoch int64) error {
	if epoch != 0 {
		r, err := k.Store.Record(ctx, KindSent, keyOf(visitor, epoch))
		if errors.Is(err, store.ErrNotFound) {
			return nil
		}
		if err != nil {
			return err
		}
		return k.Store.DeleteRecord(ctx, r.Kind, r.Key, r.Version)
	}
	for _, kind := range []string{KindSent, KindVerified} {
		for more := true; more; {
			all, err := k.Store.RecordsOf(ctx, kind, visitor, "", forgetPage)
			if err != nil {
				return err
			}
			for _, r := range all {
				if err := k.Store.DeleteRecord(ctx, r.Kind, r.Key, r.Version); err != nil {
					return err
				}
			}
			more = len(all) == forgetPage
		}
	}
	return nil
}
