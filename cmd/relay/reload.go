package main

import (
	"context"
	"log/slog"
	"os"
	"os/signal"
	"strings"
	"sync"
	"syscall"

	"github.com/anyframe-relay/relay/relay"
)

// reloader reads the file of sites, and the environment's file, again.
type reloader struct {
	lookup func(string) (string, bool)
	adjust func(*settings, environment) // what else made the settings; nil for nothing
	server *relay.Server
	log    *slog.Logger

	mu sync.Mutex // one reload at a time reads and applies
}

// reload makes what the files say now count, or returns what is wrong with them, a line
// each; then nothing changes.
func (r *reloader) reload() (wrong []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	s := defaults()
	env, envErr := readEnvironment(r.lookup, envFile)
	readErr := env.read(s)
	if r.adjust != nil {
		r.adjust(s, env)
	}
	fileErr := env.readSites(s)
	wrong = problems(fileErr, envErr, readErr, s.relay.Validate())
	if len(wrong) == 0 {
		wrong = problems(r.server.Reload(s.relay))
	}
	for _, line := range wrong {
		if !strings.HasPrefix(line, " ") { // no excerpt of the file
			r.log.Error("settings not reloaded", "problem", line)
		}
	}
	if len(wrong) == 0 {
		r.log.Info("settings reloaded", "sites", len(s.relay.Sites))
	}
	return wrong
}

// hangups returns a channel that receives when the process is to read its file of sites
// again. Without such a file SIGHUP ends it, as when its terminal is closed.
func hangups(s *settings) (signals <-chan os.Signal, stop func()) {
	if s.config == "" {
		return nil, func() {}
	}
	c := make(chan os.Signal, 1)
	signal.Notify(c, syscall.SIGHUP)
	return c, func() { signal.Stop(c) }
}

// follow reloads at every signal until ctx ends.
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
