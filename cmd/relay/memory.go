package main

import (
	"io/fs"
	"log/slog"

	"github.com/anyframe-relay/relay/cmd/relay/internal/memlimit"
)

// limitMemory lets the garbage collector know what the container may use, unless the
// operator has said so with GOMEMLIMIT, which Go has read by itself.
func limitMemory(lookup func(string) (string, bool), root fs.FS, log *slog.Logger) {
	if v, _ := lookup("GOMEMLIMIT"); v != "" {
		return
	}
	if limit, group := memlimit.Apply(root); limit > 0 {
		log.Info("memory limit", "bytes", limit, "of", group)
	}
}
