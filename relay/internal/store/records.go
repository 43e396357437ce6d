package store

import (
	"context"
	"errors"
	"strings"
	"time"
)

// Record is a row of one of the kinds that have no table of their own: an earlier
// conversation, an erasure, a webhook that has to go out, a block, the pause. Kind
// and Key identify it; neither is empty.
type Record struct {
	Kind, Key string

	// Owner groups records of a kind, see [RecordStore.RecordsOf]. It is most
	// often a visitor, may be empty, and has no zero byte.
	Owner string

	// Due is when something is to be done about the record, or any other time by
	// which its kind is read in order. A record without one is never due.
	Due time.Time

	Body string // whatever the kind keeps

	UpdatedAt time.Time // set by the store on every save
	ExpiresAt time.Time // zero: kept until it is deleted
	Version   int64     // opaque, different after every save; 0 when not stored
}

// ErrRecord rejects a [Record] without a kind or key, or whose Owner has a zero
// byte.
var ErrRecord = errors.New("a record has a kind, a key, and an owner without a zero byte")

// RecordStore stores any number of records per kind. Whatever is listed costs
// about what is returned, however many records there are. Bytes order keys.
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

	// Records returns at most limit records of a kind by key, those whose key
	// comes after the one given; "" begins. A caller that goes on from the last
	// key sees each record that existed all the while once.
	Records(ctx context.Context, kind, after string, limit int) ([]Record, error)

	// RecordsOf returns those of [RecordStore.Records] that owner has.
	RecordsOf(ctx context.Context, kind, owner, after string, limit int) ([]Record, error)

	// RecordsDue returns at most limit records of a kind that are due at until,
	// the longest due first, and those due at the same time by key.
	RecordsDue(ctx context.Context, kind string, until time.Time, limit int) ([]Record, error)

	// RecordsLatest returns at most limit of a kind's records that have a Due, in
	// the reverse of the order of [RecordStore.RecordsDue]: those that come after
	// a record of that due and key in it. A zero due begins. A record whose Due
	// changes meanwhile may be missed, or seen twice.
	RecordsLatest(ctx context.Context, kind string, due time.Time, key string, limit int) ([]Record, error)

	// CountRecords returns how many records of a kind are due at until, or how
	// many there are if until is zero. It may count some that have expired.
	CountRecords(ctx context.Context, kind string, until time.Time) (int, error)

	// RecordsRevision returns a number that is another after every save and
	// delete of a record of the kind, and 0 before the first. It is one cheap
	// read, for callers that must notice a change without reading everything.
	// A record that expires does not change it.
	RecordsRevision(ctx context.Context, kind string) (int64, error)
}

// Ready returns r as [RecordStore.SaveRecord] stores it at now, with the times
// truncated and a new version.
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
