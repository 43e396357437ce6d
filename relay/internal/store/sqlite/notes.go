package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"github.com/anyframe-relay/relay/relay/internal/store"
)

const (
	noteColumns = `visitor, kind, key, epoch, seq, state, hash, body, created_at, expires_at, version, place`

	lastChangeQuery = `SELECT coalesce(max(changed), 0) FROM notes WHERE visitor = ?`

	// nextChange is the cursor of a change of visitor ?1 at ?13, the time in
	// microseconds. The clock makes cursors rise even after all notes were deleted; the
	// maximum makes them rise even after the clock was set back. It is evaluated under
	// the write lock, so that the changes of a visitor are committed in the order of
	// their cursors.
	nextChange = `max(?13, 1 + (SELECT coalesce(max(changed), 0) FROM notes WHERE visitor = ?1))`

	// Without INDEXED BY, the planner would choose the index by key and read all notes of
	// the kind.
	notesQuery = `SELECT ` + noteColumns + ` FROM notes INDEXED BY notes_by_change
		WHERE visitor = ? AND changed > ? AND kind = ? AND epoch = ? AND expires_at > ? ORDER BY id`

	notesAtQuery = `SELECT ` + noteColumns + ` FROM notes INDEXED BY notes_by_place
		WHERE visitor = ? AND kind = ? AND epoch = ? AND place >= ? AND place < ? AND expires_at > ? ORDER BY place, id LIMIT ?`
)

// BeginNote implements [store.Store].
func (s *Store) BeginNote(ctx context.Context, n store.Note) (store.Note, bool, error) {
	n.ExpiresAt = store.Millis(n.ExpiresAt)
	n.Version = store.NewVersion()
	// A note that blocks the insert may be deleted before it is read. Each
	// retry needs another such deletion.
	for range 8 {
		now := time.Now()
		if !n.ExpiresAt.After(now) {
			return store.Note{}, false, store.ErrExpired
		}
		n.CreatedAt = store.Millis(now)
		changed, err := s.exec(ctx, now, s.beginNote, n.Visitor, n.Kind, n.Key, n.Epoch, n.Seq, n.State, n.Hash, n.Body,
			n.CreatedAt.UnixMilli(), n.ExpiresAt.UnixMilli(), n.Version, n.Place, now.UnixMicro())
		if err != nil {
			return store.Note{}, false, s.wrap(ctx, "begin note", err)
		}
		if changed != 0 {
			return n, true, nil
		}
		old, err := s.Note(ctx, n.Visitor, n.Kind, n.Key)
		if !errors.Is(err, store.ErrNotFound) {
			return old, false, err
		}
	}
	return store.Note{}, false, store.ErrConflict
}

// SaveNote implements [store.Store].
func (s *Store) SaveNote(ctx context.Context, n store.Note) (store.Note, error) {
	now := time.Now()
	n.ExpiresAt = store.Millis(n.ExpiresAt)
	if !n.ExpiresAt.After(now) {
		return store.Note{}, store.ErrExpired
	}
	old, err := s.noteAt(ctx, n)
	if err != nil {
		return store.Note{}, err
	}
	n.CreatedAt = old.CreatedAt
	n.Version = store.NewVersion()
	changed, err := s.exec(ctx, now, s.saveNote, n.Visitor, n.Kind, n.Key, n.Epoch, n.Seq, n.State, n.Hash, n.Body,
		n.ExpiresAt.UnixMilli(), n.Version, old.Version, n.Place, now.UnixMicro(), now.UnixMilli())
	if err != nil {
		return store.Note{}, s.wrap(ctx, "save note", err)
	}
	if changed == 0 {
		return store.Note{}, store.ErrConflict
	}
	return n, nil
}

// noteAt returns the note that n identifies if it is at n.Version. The caller's
// write must check the version again.
func (s *Store) noteAt(ctx context.Context, n store.Note) (store.Note, error) {
	got, err := s.Note(ctx, n.Visitor, n.Kind, n.Key)
	if err == nil && got.Version != n.Version {
		err = store.ErrConflict
	}
	return got, err
}

// Note implements [store.Store].
func (s *Store) Note(ctx context.Context, visitor, kind, key string) (store.Note, error) {
	n, err := scanNote(s.note.QueryRowContext(ctx, visitor, kind, key, time.Now().UnixMilli()))
	if errors.Is(err, sql.ErrNoRows) {
		return store.Note{}, store.ErrNotFound
	}
	return n, s.wrap(ctx, "read note", err)
}

// Notes implements [store.Store].
func (s *Store) Notes(ctx context.Context, visitor, kind string, epoch int64) ([]store.Note, error) {
	return s.notesAfter(ctx, visitor, kind, epoch, 0)
}

// NotesSince implements [store.Store].
func (s *Store) NotesSince(ctx context.Context, visitor, kind string, epoch, since int64) (notes []store.Note, cursor int64, err error) {
	// The second read may see later changes than the first. They are returned
	// again next time.
	if err = s.lastChange.QueryRowContext(ctx, visitor).Scan(&cursor); err != nil {
		return nil, 0, s.wrap(ctx, "read the last change", err)
	}
	if cursor == since {
		return nil, cursor, nil
	}
	if since > cursor {
		since = 0
	}
	if notes, err = s.notesAfter(ctx, visitor, kind, epoch, since); err != nil {
		return nil, 0, err
	}
	return notes, cursor, nil
}

// NotesAt implements [store.Store].
func (s *Store) NotesAt(ctx context.Context, visitor, kind string, epoch, from, to int64, limit int) (notes []store.Note, cursor int64, err error) {
	if err = s.lastChange.QueryRowContext(ctx, visitor).Scan(&cursor); err != nil {
		return nil, 0, s.wrap(ctx, "read the last change", err)
	}
	notes, err = s.readNotes(ctx, s.notesAt, visitor, kind, epoch, from, to, time.Now().UnixMilli(), limit)
	return notes, cursor, err
}

func (s *Store) notesAfter(ctx context.Context, visitor, kind string, epoch, since int64) ([]store.Note, error) {
	return s.readNotes(ctx, s.notes, visitor, since, kind, epoch, time.Now().UnixMilli())
}

func (s *Store) readNotes(ctx context.Context, query *sql.Stmt, args ...any) ([]store.Note, error) {
	rows, err := query.QueryContext(ctx, args...)
	if err != nil {
		return nil, s.wrap(ctx, "read notes", err)
	}
	defer rows.Close()
	var notes []store.Note
	for rows.Next() {
		n, err := scanNote(rows)
		if err != nil {
			return nil, s.wrap(ctx, "read notes", err)
		}
		notes = append(notes, n)
	}
	return notes, s.wrap(ctx, "read notes", rows.Err())
}

func scanNote(row interface{ Scan(dest ...any) error }) (n store.Note, err error) {
	var created, expires int64
	err = row.Scan(&n.Visitor, &n.Kind, &n.Key, &n.Epoch, &n.Seq, &n.State, &n.Hash, &n.Body,
		&created, &expires, &n.Version, &n.Place)
	if err != nil {
		return store.Note{}, err
	}
	n.CreatedAt, n.ExpiresAt = store.FromMillis(created), store.FromMillis(expires)
	return n, nil
}

// ForgetEpoch implements [store.Store].
func (s *Store) ForgetEpoch(ctx context.Context, visitor string, epoch int64) error {
	_, err := s.write.ExecContext(ctx, `DELETE FROM notes WHERE visitor = ? AND epoch = ?`, visitor, epoch)
	return s.wrap(ctx, "forget epoch", err)
}
