package store

import (
	"context"
	"strings"
)

// channel is where processes with the same prefix hear of each other.
func (s *Redis) channel() string { return s.prefix + "changed" }

// Tell implements [Herald].
func (s *Redis) Tell(ctx context.Context, visitor string) error {
	return s.call(ctx, "tell of a visitor", func() error {
		return s.client.Publish(ctx, s.channel(), s.self+" "+visitor).Err()
	})
}

// Hear implements [Herald]. It takes one connection, which is opened again when
// it breaks.
func (s *Redis) Hear(ctx context.Context, heard func(visitor string)) {
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
				heard(visitor)
			}
		case <-ctx.Done():
			return
		}
	}
}
