package store

import (
	"context"
	"errors"
	"strings"
	"time"
)

// Record is a row of one of the kinds that have no table of their own: an earlier
// conversation, an erasure, an undelivered webhook event, a block, the pause. Kind and
// Key identify it; neither is empty.
type Record struct {
	Kind, Key string

	// Owner groups records of a kind, see [RecordStore.RecordsOf]. It is usually a
	// visitor, may be empty, and must not contain a zero byte.
	Owner string

	// Due is when the record needs processing, or any other time by which its kind is
	// ordered. A record without one is never due.
	Due time.Time

	Body string // the content, in the kind's own format

	UpdatedAt time.Time // set by the store on every save
	ExpiresAt time.Time // zero: kept until it is deleted
	Version   int64     // opaque, different after every save; 0 when not stored
}

// ErrRecord rejects a [Record] without a kind or key, or with a zero byte in its Owner.
var ErrRecord = errors.New("a record has a kind, a key, and an owner without a zero byte")

// RecordStore stores any number of records per kind. The cost of a listing depends on the
// number of records it returns, not on how many there are. Keys are ordered bytewise.
type RecordStore interface {
	// Record returns one record, or [ErrNotFound].
	Record(ctx context.Context, kind, key string) (Record, error)

	// SaveRecord stores r if the stored record is at r.Version; 0 means that none
	// may exist. It returns r with its new version, or [ErrConflict]. It returns
	// [ErrExpired] if r.ExpiresAt is set and not in the future, or [ErrRecord].
	SaveRecord(ctx context.Context, r Record) (Record, error)

	// DeleteRecord deletes the record if it is at version. It returns
	// [ErrConflict] if it is at another, and nil if there is none.
	DeleteRecord(ctx context.Context, kind, key string, version int64) error

	// Records returns at most limit records of a kind, ordered by key, after the given
	// key; "" starts at the beginning. A caller that continues from the last key sees
	// each record exactly once if it exists throughout.
	Records(ctx context.Context, kind, after string, limit int) ([]Record, error)

	// RecordsOf is [RecordStore.Records] restricted to the records of owner.
	RecordsOf(ctx context.Context, kind, owner, after string, limit int) ([]Record, error)

	// RecordsDue returns at most limit records of a kind that are due at until, earliest
	// Due first. Records with the same Due are ordered by key.
	RecordsDue(ctx context.Context, kind string, until time.Time, limit int) ([]Record, error)

	// RecordsLatest returns at most limit of a kind's records that have a Due, in the
	// reverse order of [RecordStore.RecordsDue]: those that follow a record with the
	// given due and key. A zero due starts at the beginning. A record whose Due changes
	// between calls may be missed or returned twice.
	RecordsLatest(ctx context.Context, kind string, due time.Time, key string, limit int) ([]Record, error)

	// CountRecords returns how many records of a kind are due at until, or how many there
	// are if until is zero. The count may include expired records.
	CountRecords(ctx context.Context, kind string, until time.Time) (int, error)

	// RecordsRevision returns a number that changes with every save and delete of a
	// record of the kind; it is 0 before the first. It is one cheap read, for callers
	// that must detect changes without reading everything. An expiring record does not
	// change it.
	RecordsRevision(ctx context.Context, kind string) (int64, error)
}

// Ready returns r as [RecordStore.SaveRecord] stores it at now, with truncated times and
// a new version.
func (r Record) Ready(now time.Time) (Record, error) {
	if r.Kind == "" || r.Key == "" || strings.IndexByte(r.Owner, 0) >= 0 {
		return Record{}, ErrRecord
	}
	if !r.Due.IsZero() {
		r.Due = Millis(r.Due)
	}
	if !r.ExpiresAt.IsZero() {
		if r.ExpiresAt = Millis(r.ExpiresAt); !r.ExpiresAt.After(now) {
			return Record{}, ErrExpired
		}
	}
	r.UpdatedAt = Millis(now)
	r.Version = NewVersion()
	return r, nil
}
