package memory

import (
	"context"
	"time"

	"github.com/anyframe-relay/relay/relay/internal/store"
)

// Generation implements [store.Store]. No other process can write these rows.
func (m *Store) Generation(ctx context.Context) (int64, error) {
	if err := m.begin(ctx); err != nil {
		return 0, err
	}
	defer m.mu.Unlock()
	return 0, nil
}

// Changed implements [store.Store].
func (m *Store) Changed(ctx context.Context, marks []store.Mark) ([]int, error) {
	if err := m.begin(ctx); err != nil {
		return nil, err
	}
	defer m.mu.Unlock()
	now := time.Now()
	var changed []int
	for i, mark := range marks {
		if !m.holds(mark, now) {
			changed = append(changed, i)
		}
	}
	return changed, nil
}

// holds reports whether nothing has changed since the mark. The caller holds mu.
func (m *Store) holds(mark store.Mark, now time.Time) bool {
	if s, _ := m.sessions.get(mark.Visitor, now); s.Version != mark.Version {
		return false
	}
	for _, token := range mark.Tokens {
		if _, ok := m.tokens.get(token, now); !ok {
			return false
		}
	}
	if mark.Notes < 0 {
		return true
	}
	for _, l := range m.lists[mark.Visitor] {
		if l.changes.Back().Value.(*noteRow).changed > mark.Notes { //nolint:forcetypeassert // the list holds nothing else
			return false
		}
	}
	return mark.Notes <= m.changes
}
