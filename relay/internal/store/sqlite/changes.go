package sqlite

import (
	"context"
	"database/sql"
	"encoding/json"
	"slices"
	"sync"
	"time"

	"github.com/anyframe-relay/relay/relay/internal/store"
)

// generation counts how often SQLite has reported a change of the file by a connection
// other than the writing one, which means by another process.
type generation struct {
	mu      sync.Mutex // keeps conn and version consistent
	n       int64
	conn    any   // the connection that returned version; each connection counts separately
	version int64 // SQLite's PRAGMA data_version
}

// told records a connection's data_version, and returns the generation.
func (g *generation) told(conn any, version int64) int64 {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.conn != conn || g.version != version {
		g.n++
		g.conn, g.version = conn, version
	}
	return g.n
}

// Generation implements [store.Store].
func (s *Store) Generation(ctx context.Context) (int64, error) {
	const doing = "read the generation"
	c, err := s.write.Conn(ctx)
	if err != nil {
		return 0, s.wrap(ctx, doing, err)
	}
	defer c.Close()
	var version int64
	if err := c.QueryRowContext(ctx, `PRAGMA data_version`).Scan(&version); err != nil {
		return 0, s.wrap(ctx, doing, err)
	}
	var conn any
	if err := c.Raw(func(driver any) error { conn = driver; return nil }); err != nil {
		return 0, s.wrap(ctx, doing, err)
	}
	return s.generation.told(conn, version), nil
}

// The parameter of each query is a JSON array of arrays: the index of a mark, and the
// expected values. The query returns the indices of the marks that no longer hold.
const (
	changedSessionsQuery = `SELECT want.value ->> 0 FROM json_each(?) want
		LEFT JOIN sessions s ON s.visitor = want.value ->> 1 AND s.expires_at > ?
		WHERE coalesce(s.version, 0) <> want.value ->> 2`
	missingTokensQuery = `SELECT want.value ->> 0 FROM json_each(?) want
		WHERE NOT EXISTS (SELECT 1 FROM tokens WHERE token = want.value ->> 1 AND expires_at > ?)`
	changedNotesQuery = `SELECT want.value ->> 0 FROM json_each(?) want
		WHERE coalesce((SELECT max(changed) FROM notes WHERE visitor = want.value ->> 1), 0) <> want.value ->> 2`
)

// Changed implements [store.Store].
func (s *Store) Changed(ctx context.Context, marks []store.Mark) ([]int, error) {
	sessions := make([][3]any, len(marks))
	var tokens [][2]any
	var notes [][3]any
	for i, m := range marks {
		sessions[i] = [3]any{i, m.Visitor, m.Version}
		for _, token := range m.Tokens {
			tokens = append(tokens, [2]any{i, token})
		}
		if m.Notes >= 0 {
			notes = append(notes, [3]any{i, m.Visitor, m.Notes})
		}
	}
	now := time.Now().UnixMilli()
	var changed []int
	for _, q := range []struct {
		stmt *sql.Stmt
		rows any
		none bool
		args []any
	}{
		{s.changedSessions, sessions, len(sessions) == 0, []any{now}},
		{s.missingTokens, tokens, len(tokens) == 0, []any{now}},
		{s.changedNotes, notes, len(notes) == 0, nil},
	} {
		if q.none && ctx.Err() == nil && !s.closed.Load() {
			continue
		}
		found, err := indices(ctx, q.stmt, q.rows, q.args...)
		if err != nil {
			return nil, s.wrap(ctx, "look for changes", err)
		}
		changed = append(changed, found...)
	}
	slices.Sort(changed)
	return slices.Compact(changed), nil
}

// indices runs one of the queries above.
func indices(ctx context.Context, stmt *sql.Stmt, want any, args ...any) (found []int, err error) {
	text, err := json.Marshal(want)
	if err != nil {
		return nil, err
	}
	rows, err := stmt.QueryContext(ctx, append([]any{string(text)}, args...)...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var i int
		if err := rows.Scan(&i); err != nil {
			return nil, err
		}
		found = append(found, i)
	}
	return found, rows.Err()
}
