package redis

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/anyframe-relay/relay/relay/internal/store"
)

// packedNote is the part of a stored note that scripts need not read.
type packedNote struct {
	Seq   int64  `json:"q,omitempty"`
	Place int64  `json:"p"` // present in every note of this build
	State string `json:"s,omitempty"`
	Hash  string `json:"h,omitempty"`
	Body  string `json:"b,omitempty"`
}

func packNote(n store.Note) (string, error) {
	b, err := json.Marshal(packedNote{n.Seq, n.Place, n.State, n.Hash, n.Body})
	return string(b), err
}

// unpackNote returns a stored note and the cursor of its BeginNote.
func unpackNote(visitor, kind, key, raw string) (n store.Note, begun int64, err error) {
	part := strings.SplitN(raw, " ", 6)
	if len(part) != 6 {
		return n, 0, errors.New("store: a note is not readable")
	}
	var numbers [5]int64
	for i := range numbers {
		if numbers[i], err = strconv.ParseInt(part[i], 10, 64); err != nil {
			return n, 0, errors.New("store: a note is not readable")
		}
	}
	var row packedNote
	if err = json.Unmarshal([]byte(part[5]), &row); err != nil {
		return n, 0, fmt.Errorf("store: a note is not readable: %w", err)
	}
	return store.Note{
		Visitor: visitor, Kind: kind, Key: key,
		Epoch: numbers[2], Seq: row.Seq, Place: row.Place, State: row.State, Hash: row.Hash, Body: row.Body,
		CreatedAt: store.FromMillis(numbers[3]), ExpiresAt: store.FromMillis(numbers[4]), Version: numbers[0],
	}, numbers[1], nil
}

// notesKeys returns the first KEYS of the scripts about a visitor's notes.
func (s *Store) notesKeys(visitor string, more ...string) []string {
	tag := s.prefix + "{" + visitor + "}"
	return append([]string{tag + "l", tag + "i", tag + "o"}, more...)
}

// notesArgs returns their first ARGV.
func (s *Store) notesArgs(visitor string, more ...any) []any {
	tag := s.prefix + "{" + visitor + "}"
	return append([]any{tag + "n:", tag + "c:"}, more...)
}

func (s *Store) noteKey(visitor, kind, key string) string {
	return s.prefix + "{" + visitor + "}n:" + escape(kind) + ":" + key
}

// listOf returns the name of the list of a kind and epoch.
func listOf(kind string, epoch int64) string {
	return escape(kind) + ":" + strconv.FormatInt(epoch, 10)
}

// escape returns kind without colons.
func escape(kind string) string { return url.QueryEscape(kind) }

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
		raw, err = luaBeginNote.Run(ctx, s.client, s.notesKeys(n.Visitor, s.noteKey(n.Visitor, n.Kind, n.Key)), s.notesArgs(n.Visitor,
			listOf(n.Kind, n.Epoch), n.Key, n.Version, n.Epoch, n.CreatedAt.UnixMilli(), n.ExpiresAt.UnixMilli(), body, n.Place)...).Text()
		return err
	})
	if errors.Is(err, redis.Nil) {
		return n, true, nil
	}
	if err != nil {
		return store.Note{}, false, err
	}
	old, _, err := unpackNote(n.Visitor, n.Kind, n.Key, raw)
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
	created, err := s.run(ctx, "save note", luaSaveNote, s.notesKeys(n.Visitor, s.noteKey(n.Visitor, n.Kind, n.Key)), s.notesArgs(n.Visitor,
		listOf(n.Kind, n.Epoch), n.Key, old, n.Version, n.Epoch, n.ExpiresAt.UnixMilli(), body, n.Place)...)
	switch {
	case err != nil:
		return store.Note{}, err
	case created == 0:
		return store.Note{}, store.ErrNotFound
	case created < 0:
		return store.Note{}, store.ErrConflict
	}
	n.CreatedAt = store.FromMillis(created)
	return n, nil
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
	n, _, err := unpackNote(visitor, kind, key, raw)
	return n, err
}

// Notes implements [store.Store].
func (s *Store) Notes(ctx context.Context, visitor, kind string, epoch int64) ([]store.Note, error) {
	notes, _, err := s.NotesSince(ctx, visitor, kind, epoch, 0)
	return notes, err
}

// NotesSince implements [store.Store].
func (s *Store) NotesSince(ctx context.Context, visitor, kind string, epoch, since int64) (notes []store.Note, cursor int64, err error) {
	return s.readNotes(ctx, luaNotesSince, visitor, kind, epoch, since)
}

// NotesAt implements [store.Store].
func (s *Store) NotesAt(ctx context.Context, visitor, kind string, epoch, from, to int64, limit int) (notes []store.Note, cursor int64, err error) {
	return s.readNotes(ctx, luaNotesAt, visitor, kind, epoch, from, to, limit)
}

type begunNote struct {
	store.Note
	rank, begun int64
}

// readNotes runs a script that returns a cursor, and key, rank and value of notes. It
// returns the notes ordered by rank, and within one rank in the order in which they were
// begun.
func (s *Store) readNotes(ctx context.Context, script *redis.Script, visitor, kind string, epoch int64, args ...any) (notes []store.Note, cursor int64, err error) {
	var rows []string
	err = s.call(ctx, "read notes", func() (err error) {
		rows, err = script.Run(ctx, s.client, s.notesKeys(visitor), s.notesArgs(visitor, append([]any{listOf(kind, epoch)}, args...)...)...).StringSlice()
		return err
	})
	if err != nil {
		return nil, 0, err
	}
	if len(rows)%3 != 1 {
		return nil, 0, fmt.Errorf("store: read notes: got %d values, want one and three for each note", len(rows))
	}
	if cursor, err = strconv.ParseInt(rows[0], 10, 64); err != nil {
		return nil, 0, fmt.Errorf("store: read notes: %w", err)
	}
	found := make([]begunNote, 0, len(rows)/3)
	for i := 1; i < len(rows); i += 3 {
		n, begun, err := unpackNote(visitor, kind, rows[i], rows[i+2])
		if err != nil {
			return nil, 0, err
		}
		rank, err := strconv.ParseInt(rows[i+1], 10, 64)
		if err != nil {
			return nil, 0, fmt.Errorf("store: read notes: %w", err)
		}
		if script == luaNotesAt {
			n.Place = rank // a note of an earlier build does not contain it
		}
		found = append(found, begunNote{n, rank, begun})
	}
	slices.SortStableFunc(found, func(a, b begunNote) int { return cmp.Or(cmp.Compare(a.rank, b.rank), cmp.Compare(a.begun, b.begun)) })
	notes = make([]store.Note, len(found))
	for i, n := range found {
		notes[i] = n.Note
	}
	return notes, cursor, nil
}

// Forget implements [store.Store].
func (s *Store) Forget(ctx context.Context, visitor string) error {
	_, err := s.run(ctx, "forget visitor", luaForget, s.notesKeys(visitor, s.sessionKey(visitor)), s.notesArgs(visitor)...)
	return err
}

// ForgetEpoch implements [store.Store].
func (s *Store) ForgetEpoch(ctx context.Context, visitor string, epoch int64) error {
	_, err := s.run(ctx, "forget epoch", luaForgetEpoch, s.notesKeys(visitor), s.notesArgs(visitor, epoch)...)
	return err
}
