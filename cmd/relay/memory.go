package main

import (
	"io/fs"
	"log/slog"

	"github.com/anyframe-relay/relay/cmd/relay/internal/memlimit"
)

// limitMemory sets the Go memory limit from the container's limit, unless the operator
// has set GOMEMLIMIT, which the Go runtime reads itself.
func limitMemory(lookup func(string) (string, bool), root fs.FS, log *slog.Logger) {
	if v, _ := lookup("GOMEMLIMIT"); v != "" {
		return
	}
	if limit, group := memlimit.Apply(root); limit > 0 {
		log.Info("memory limit set", "bytes", limit, "of", group)
	}
}
