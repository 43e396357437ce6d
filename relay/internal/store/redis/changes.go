package redis

import (
	"context"
	"errors"

	"github.com/redis/go-redis/v9"

	"github.com/anyframe-relay/relay/relay/internal/store"
)

// pipelined is how many marks are checked in one round trip.
const pipelined = 256

// Generation implements [store.Store]. Redis does not report which client has written.
func (s *Store) Generation(ctx context.Context) (int64, error) {
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.closed {
		return 0, store.ErrClosed
	}
	return s.generation.Add(1), nil
}

// looked holds the replies for one mark.
type looked struct {
	session *redis.StringCmd
	tokens  []*redis.IntCmd
	last    *redis.ZSliceCmd // the visitor's last cursor; nil if notes do not matter
}

// Changed implements [store.Store].
func (s *Store) Changed(ctx context.Context, marks []store.Mark) (changed []int, err error) {
	for from := 0; from == 0 || from < len(marks); from += pipelined {
		some := marks[from:min(from+pipelined, len(marks))]
		replies := make([]looked, len(some))
		err := s.call(ctx, "look for changes", func() error {
			cmds, err := s.client.Pipelined(ctx, func(p redis.Pipeliner) error {
				for i, m := range some {
					replies[i] = s.look(ctx, p, m)
				}
				return nil
			})
			for _, cmd := range cmds {
				if err := cmd.Err(); err != nil && !errors.Is(err, redis.Nil) {
					return err
				}
			}
			if errors.Is(err, redis.Nil) {
				return nil
			}
			return err
		})
		if err != nil {
			return nil, err
		}
		for i, m := range some {
			if !replies[i].holds(m) {
				changed = append(changed, from+i)
			}
		}
	}
	return changed, nil
}

// look requests the rows of one mark. It cannot be a script, because the keys may be on
// several nodes.
func (s *Store) look(ctx context.Context, p redis.Pipeliner, m store.Mark) (l looked) {
	l.session = p.Get(ctx, s.sessionKey(m.Visitor))
	for _, token := range m.Tokens {
		l.tokens = append(l.tokens, p.Exists(ctx, s.tokenKey(token)))
	}
	if m.Notes >= 0 {
		l.last = p.ZRevRangeWithScores(ctx, s.notesKeys(m.Visitor)[0], 0, 0)
	}
	return l
}

// holds reports whether nothing has changed since the mark.
func (l looked) holds(m store.Mark) bool {
	var version, last int64
	if raw := l.session.Val(); raw != "" {
		// Report an unreadable session as changed, so that the read that follows returns
		// the error.
		session, err := unpackSession(m.Visitor, raw)
		if err != nil {
			return false
		}
		version = session.Version
	}
	for _, token := range l.tokens {
		if token.Val() == 0 {
			return false
		}
	}
	if l.last != nil {
		for _, z := range l.last.Val() {
			last = int64(z.Score)
		}
	}
	return version == m.Version && (l.last == nil || last == m.Notes)
}
