package main

import (
	"cmp"
	"os"
	"path/filepath"
	"runtime"
	"strings"
)

// exposed returns the files with secrets that users other than their owner may read or
// write. It checks .env, the SQLite file, and the files that SQLite and migrations store
// next to it. On Windows it returns nil, because files have no such mode there.
func exposed(env, store string) []string {
	if runtime.GOOS == "windows" {
		return nil
	}
	files := []string{env}
	if path, ok := strings.CutPrefix(store, "sqlite:"); ok {
		dir, base := filepath.Split(path)
		entries, _ := os.ReadDir(cmp.Or(dir, ".")) // the store reports an unreadable folder
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
