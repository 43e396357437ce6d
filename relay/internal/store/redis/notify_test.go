package redis_test

import (
	"context"
	"errors"
	"sync"
	"testing"

	"github.com/anyframe-relay/relay/relay/internal/store"
	"github.com/anyframe-relay/relay/relay/internal/store/redistest"
)

func TestNotifier_OtherProcesses_NotItself(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	a, b := open(t, server.URL(), "p:"), open(t, server.URL(), "p:")
	other := open(t, server.URL(), "q:")
	ctx, cancel := context.WithCancel(t.Context())
	var hearing sync.WaitGroup
	heard := make(chan string, 1000)
	hearing.Go(func() { b.Subscribe(ctx, func(visitor string) { heard <- visitor }) })
	t.Cleanup(hearing.Wait)
	t.Cleanup(cancel)
	tell := func(from store.Notifier, visitor string) {
		if err := from.Publish(t.Context(), visitor); err != nil && !errors.Is(err, store.ErrUnavailable) {
			t.Errorf("got error %v, want none", err)
		}
	}
	arrives := func(what string) {
		eventually(t, what, func() bool {
			tell(b, "own")
			tell(other, "another prefix")
			tell(a, "v1")
			select {
			case got := <-heard:
				if got != "v1" {
					t.Errorf("got told of %q, want v1", got)
				}
				return true
			default:
				return false
			}
		})
	}
	arrives("hears")
	server.Kill()
	server.Restart()
	for len(heard) > 0 {
		<-heard
	}
	arrives("hears after a restart")
}
