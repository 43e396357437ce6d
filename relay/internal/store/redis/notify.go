package redis

import (
	"context"
	"strings"
)

// channel is the channel of all processes with the same prefix.
func (s *Store) channel() string { return s.prefix + "changed" }

// Publish implements [store.Notifier].
func (s *Store) Publish(ctx context.Context, visitor string) error {
	return s.call(ctx, "publish a hint", func() error {
		return s.client.Publish(ctx, s.channel(), s.self+" "+visitor).Err()
	})
}

// Subscribe implements [store.Notifier]. It uses one connection, and reconnects when that
// is lost.
func (s *Store) Subscribe(ctx context.Context, notify func(visitor string)) {
	hints := s.client.Subscribe(ctx, s.channel())
	defer hints.Close()
	all := hints.Channel()
	for {
		select {
		case m, open := <-all:
			if !open {
				return
			}
			if by, visitor, _ := strings.Cut(m.Payload, " "); by != s.self {
				notify(visitor)
			}
		case <-ctx.Done():
			return
		}
	}
}
