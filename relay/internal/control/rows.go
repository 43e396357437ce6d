package control

import (
	"context"
	"errors"
	"time"

	"github.com/anyframe-relay/relay/relay/internal/store"
)

// Kind is the kind of the records that hold decisions.
const Kind = "decision"

const (
	page     = 500
	attempts = 8 // of a write that conflicts with others
)

var errRows = errors.Join(errors.New("operator decisions keep changing"), store.ErrUnavailable)

// all reads all decisions, by key.
func (c *Control) all(ctx context.Context) (map[string]string, error) {
	rows := map[string]string{}
	for after := ""; ; {
		some, err := c.options.Store.Records(ctx, Kind, after, page)
		if err != nil {
			return nil, err
		}
		for _, r := range some {
			rows[r.Key], after = r.Body, r.Key
		}
		if len(some) < page {
			return rows, nil
		}
	}
}

// version returns the version of the stored decision with this key, 0 if there is none.
func (c *Control) version(ctx context.Context, key string) (int64, error) {
	r, err := c.options.Store.Record(ctx, Kind, key)
	if errors.Is(err, store.ErrNotFound) {
		return 0, nil
	}
	return r.Version, err
}

// overwrite calls write with the version of the stored decision, and retries on conflicts
// with other operators: the last write wins.
func (c *Control) overwrite(ctx context.Context, key string, write func(version int64) error) error {
	for range attempts {
		version, err := c.version(ctx, key)
		if err != nil {
			return err
		}
		if err = write(version); !errors.Is(err, store.ErrConflict) {
			return err
		}
	}
	return errRows
}

// save stores a decision. A zero expires keeps it until it is deleted.
func (c *Control) save(ctx context.Context, key, body string, expires time.Time) error {
	return c.overwrite(ctx, key, func(version int64) error {
		_, err := c.options.Store.SaveRecord(ctx, store.Record{Kind: Kind, Key: key, Body: body, ExpiresAt: expires, Version: version})
		return err
	})
}

// delete deletes a decision, if there is one.
func (c *Control) delete(ctx context.Context, key string) error {
	return c.overwrite(ctx, key, func(version int64) error {
		return c.options.Store.DeleteRecord(ctx, Kind, key, version)
	})
}
