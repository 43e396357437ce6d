package redis

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/anyframe-relay/relay/relay/store"
)

// packedNote is the part of a stored note that scripts do not read.
type packedNote struct {
	Seq   int64  `json:"q,omitempty"`
	State string `json:"s,omitempty"`
	Hash  string `json:"h,omitempty"`
	Body  string `json:"b,omitempty"`
}

func packNote(n store.Note) (string, error) {
	b, err := json.Marshal(packedNote{n.Seq, n.State, n.Hash, n.Body})
	return string(b), err
}

func unpackNote(visitor, kind, key, raw string) (store.Note, error) {
	n := store.Note{Visitor: visitor, Kind: kind, Key: key}
	part := strings.SplitN(raw, " ", 6)
	if len(part) != 6 {
		return store.Note{}, errors.New("store: a note is not readable")
	}
	var numbers [5]int64
	for i := range numbers {
		var err error
		if numbers[i], err = strconv.ParseInt(part[i], 10, 64); err != nil {
			return store.Note{}, errors.New("store: a note is not readable")
		}
	}
	var row packedNote
	if err := json.Unmarshal([]byte(part[5]), &row); err != nil {
		return store.Note{}, fmt.Errorf("store: a note is not readable: %w", err)
	}
	n.Version, n.Epoch = numbers[0], numbers[2]
	n.CreatedAt, n.ExpiresAt = store.FromMillis(numbers[3]), store.FromMillis(numbers[4])
	n.Seq, n.State, n.Hash, n.Body = row.Seq, row.State, row.Hash, row.Body
	return n, nil
}

// BeginNote implements [store.Store].
func (s *Store) BeginNote(ctx context.Context, n store.Note) (store.Note, bool, error) {
	now := time.Now()
	n.ExpiresAt = store.Millis(n.ExpiresAt)
	if !n.ExpiresAt.After(now) {
		return store.Note{}, false, store.ErrExpired
	}
	n.CreatedAt = store.Millis(now)
	n.Version = store.NewVersion()
	body, err := packNote(n)
	if err != nil {
		return store.Note{}, false, fmt.Errorf("store: begin note: %w", err)
	}
	var raw string
	err = s.call(ctx, "begin note", func() (err error) {
		raw, err = luaBeginNote.Run(ctx, s.client,
			[]string{s.noteKey(n.Visitor, n.Kind, n.Key), s.indexKey(n.Visitor), s.orderKey(n.Visitor)},
			n.Version, wide(n.Epoch), n.CreatedAt.UnixMilli(), n.ExpiresAt.UnixMilli(), body, indexed(n.Kind), n.Key).Text()
		return err
	})
	if errors.Is(err, redis.Nil) {
		return n, true, nil
	}
	if err != nil {
		return store.Note{}, false, err
	}
	old, err := unpackNote(n.Visitor, n.Kind, n.Key, raw)
	return old, false, err
}

// SaveNote implements [store.Store].
func (s *Store) SaveNote(ctx context.Context, n store.Note) (store.Note, error) {
	n.ExpiresAt = store.Millis(n.ExpiresAt)
	if !n.ExpiresAt.After(time.Now()) {
		return store.Note{}, store.ErrExpired
	}
	old := n.Version
	n.Version = store.NewVersion()
	body, err := packNote(n)
	if err != nil {
		return store.Note{}, fmt.Errorf("store: save note: %w", err)
	}
	created, err := s.run(ctx, "save note", luaSaveNote,
		[]string{s.noteKey(n.Visitor, n.Kind, n.Key), s.indexKey(n.Visitor), s.orderKey(n.Visitor)},
		old, n.Version, wide(n.Epoch), n.ExpiresAt.UnixMilli(), body, indexed(n.Kind), n.Key)
	if err = noteError(created, err); err != nil {
		return store.Note{}, err
	}
	n.CreatedAt = store.FromMillis(created)
	return n, nil
}

// noteError returns the error that a script's reply about a note stands for.
func noteError(answer int64, err error) error {
	switch {
	case err != nil:
		return err
	case answer == 0:
		return store.ErrNotFound
	case answer < 0:
		return store.ErrConflict
	}
	return nil
}

// Note implements [store.Store].
func (s *Store) Note(ctx context.Context, visitor, kind, key string) (store.Note, error) {
	var raw string
	err := s.call(ctx, "read note", func() (err error) {
		raw, err = s.client.Get(ctx, s.noteKey(visitor, kind, key)).Result()
		return err
	})
	if errors.Is(err, redis.Nil) {
		return store.Note{}, store.ErrNotFound
	}
	if err != nil {
		return store.Note{}, err
	}
	return unpackNote(visitor, kind, key, raw)
}

// Notes implements [store.Store].
func (s *Store) Notes(ctx context.Context, visitor, kind string, epoch int64) ([]store.Note, error) {
	from := indexed(kind) + ":" + wide(epoch)
	var rows []string
	err := s.call(ctx, "read notes", func() (err error) {
		// A semicolon is what comes after a colon.
		rows, err = luaNotes.Run(ctx, s.client, []string{s.indexKey(visitor)},
			"["+from+":", "("+from+";", s.noteKey(visitor, kind, "")).StringSlice()
		return err
	})
	if err != nil {
		return nil, err
	}
	notes := make([]store.Note, 0, len(rows)/2)
	for i := 0; i+1 < len(rows); i += 2 {
		n, err := unpackNote(visitor, kind, rows[i], rows[i+1])
		if err != nil {
			return nil, err
		}
		notes = append(notes, n)
	}
	return notes, nil
}

// Forget implements [store.Store].
func (s *Store) Forget(ctx context.Context, visitor string) error {
	_, err := s.run(ctx, "forget visitor", luaForget,
		[]string{s.sessionKey(visitor), s.indexKey(visitor), s.orderKey(visitor)}, s.notesKey(visitor))
	return err
}
