package main

import (
	"cmp"
	"os"
	"path/filepath"
	"runtime"
	"strings"
)

// exposed returns those of the files with secrets in them that others than their
// owner may read or write: .env, the SQLite file and what SQLite and migrations
// keep beside it. Files on Windows have no such mode.
func exposed(env, store string) []string {
	if runtime.GOOS == "windows" {
		return nil
	}
	files := []string{env}
	if path, ok := strings.CutPrefix(store, "sqlite:"); ok {
		dir, base := filepath.Split(path)
		entries, _ := os.ReadDir(cmp.Or(dir, ".")) // a folder that cannot be read is told by the store
		for _, e := range entries {
			if name := e.Name(); name == base || strings.HasPrefix(name, base+"-") || strings.HasPrefix(name, base+".") {
				files = append(files, dir+name)
			}
		}
	}
	var out []string
	for _, path := range files {
		if info, err := os.Stat(path); err == nil && info.Mode().IsRegular() && info.Mode().Perm()&0o077 != 0 {
			out = append(out, path)
		}
	}
	return out
}
