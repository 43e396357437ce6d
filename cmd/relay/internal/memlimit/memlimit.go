// Package memlimit finds out how much memory the container or service that the program
// runs in may use, and lets Go's garbage collector know, which by itself goes by the
// heap's growth alone and would be killed near the limit.
//
// It knows control groups of Linux, version 1 and 2. It does not read the environment.
package memlimit

import (
	"io/fs"
	"math"
	"path"
	"runtime/debug"
	"strconv"
	"strings"
)

// share of the limit that Go's memory may take, in percent. The rest is for what the
// collector does not count: SQLite's pages, the kernel's buffers of connections, stacks
// of threads.
const share = 90

// Apply sets the soft limit of Go's memory to nine tenths of what the control group of
// this process may use. It returns both, in bytes, and zeros if there is no limit; then it
// changes nothing. Root is the root of the file system.
func Apply(root fs.FS) (limit, group int64) {
	if group = Group(root); group == 0 {
		return 0, 0
	}
	limit = group / 100 * share
	debug.SetMemoryLimit(limit)
	return limit, group
}

// Group returns how many bytes of memory the control group of this process may use, the
// least that it or one around it may, and 0 if nothing limits it.
func Group(root fs.FS) int64 {
	text, err := fs.ReadFile(root, "proc/self/cgroup")
	if err != nil {
		return 0 // not Linux, or no control groups
	}
	least := int64(math.MaxInt64)
	for line := range strings.Lines(string(text)) {
		// hierarchy:controllers:path, of which version 2 has the hierarchy 0 and no
		// controllers.
		parts := strings.SplitN(strings.TrimSuffix(line, "\n"), ":", 3)
		switch {
		case len(parts) != 3:
		case parts[0] == "0" && parts[1] == "":
			least = min(least, around(root, "sys/fs/cgroup", parts[2], "memory.max", "memory.high"))
		case contains(parts[1], "memory"):
			least = min(least, around(root, "sys/fs/cgroup/memory", parts[2], "memory.limit_in_bytes"))
		}
	}
	if least >= unlimited {
		return 0
	}
	return least
}

// unlimited is less than what version 1 says where there is no limit, the largest number
// of whole pages, and more than any machine has.
const unlimited = 1 << 60

func contains(controllers, name string) bool {
	for c := range strings.SplitSeq(controllers, ",") {
		if c == name {
			return true
		}
	}
	return false
}

// around returns the least that one of the files says in the group's folder below mount or
// in one around it. In a container the mount is often the group itself, whatever its path
// is called outside: then only the mount has the files.
func around(root fs.FS, mount, group string, files ...string) int64 {
	least := int64(math.MaxInt64)
	for group = path.Clean("/" + group); ; group = path.Dir(group) {
		for _, name := range files {
			text, err := fs.ReadFile(root, path.Join(mount, group, name))
			if err != nil {
				continue
			}
			if n, err := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64); err == nil && n > 0 {
				least = min(least, n) // "max" is no number
			}
		}
		if group == "/" {
			return least
		}
	}
}
