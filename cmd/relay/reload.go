package main

import (
	"context"
	"log/slog"
	"os"
	"os/signal"
	"strings"
	"sync"
	"syscall"

	"github.com/anyframe-relay/relay/anyframe/anyframetest"
	"github.com/anyframe-relay/relay/relay"
)

// reloader reloads the sites file and .env.
type reloader struct {
	lookup func(string) (string, bool)
	plane  *anyframetest.Server // the demo's; otherwise nil
	server *relay.Server
	log    *slog.Logger

	mu sync.Mutex // held during a reload, so that only one reads and applies at a time
}

// reload applies the current content of the files. If there are problems, it returns them,
// one per line, and changes nothing.
func (r *reloader) reload() (wrong []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	s := defaults()
	env, envErr := readEnvironment(r.lookup, envFile)
	readErr := env.read(s)
	if r.plane != nil {
		forDemo(s, env, r.plane)
	}
	fileErr := env.readSites(s)
	if r.plane != nil {
		sitesForDemo(s, r.plane)
	}
	wrong = problems(fileErr, envErr, readErr, s.relay.Validate())
	if len(wrong) == 0 {
		wrong = problems(r.server.Reload(s.relay))
	}
	for _, line := range wrong {
		if !strings.HasPrefix(line, " ") { // skip excerpts of the file
			r.log.Error("settings not reloaded", "problem", line)
		}
	}
	if len(wrong) == 0 {
		r.log.Info("settings reloaded", "sites", len(s.relay.Sites))
	}
	return wrong
}

// hangups returns a channel that receives on SIGHUP, which reloads the sites file. Without
// a sites file the channel is nil and SIGHUP ends the process, as when its terminal closes.
func hangups(s *settings) (signals <-chan os.Signal, stop func()) {
	if s.config == "" {
		return nil, func() {}
	}
	c := make(chan os.Signal, 1)
	signal.Notify(c, syscall.SIGHUP)
	return c, func() { signal.Stop(c) }
}

// follow reloads on every signal until ctx ends.
func (r *reloader) follow(ctx context.Context, signals <-chan os.Signal) {
	for {
		select {
		case <-signals:
			r.reload()
		case <-ctx.Done():
			return
		}
	}
}
