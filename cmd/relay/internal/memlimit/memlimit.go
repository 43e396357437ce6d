// Package memlimit sets Go's memory limit from the memory limit of the container or
// service that the program runs in. Without it, the garbage collector considers only the
// growth of the heap, and the program could be killed near the limit.
//
// It supports Linux control groups, versions 1 and 2. It does not read the environment.
package memlimit

import (
	"io/fs"
	"math"
	"path"
	"runtime/debug"
	"strconv"
	"strings"
)

// share is the percentage of the limit that Go's memory may use. The rest is for memory
// that the collector does not count: SQLite's pages, the kernel's connection buffers,
// thread stacks.
const share = 90

// Apply sets Go's soft memory limit to 90 % of the memory limit of this process's control
// group. It returns both limits in bytes. If there is no limit, it changes nothing and
// returns zeros. Root is the root of the file system.
func Apply(root fs.FS) (limit, group int64) {
	if group = Group(root); group == 0 {
		return 0, 0
	}
	limit = group / 100 * share
	debug.SetMemoryLimit(limit)
	return limit, group
}

// Group returns the memory limit of this process's control group in bytes: the lowest
// limit of the group and its parents, or 0 if there is none.
func Group(root fs.FS) int64 {
	text, err := fs.ReadFile(root, "proc/self/cgroup")
	if err != nil {
		return 0 // not Linux, or no control groups
	}
	least := int64(math.MaxInt64)
	for line := range strings.Lines(string(text)) {
		// The format is hierarchy:controllers:path. In version 2, the hierarchy is 0 and
		// there are no controllers.
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

// unlimited is more memory than any machine has. It is less than the value that version 1
// reports without a limit, which is the largest number of whole pages.
const unlimited = 1 << 60

func contains(controllers, name string) bool {
	for c := range strings.SplitSeq(controllers, ",") {
		if c == name {
			return true
		}
	}
	return false
}

// around returns the lowest value of the files in the group's folder below mount and in
// its parent folders. In a container, mount is often the group itself, whatever its path
// outside is; then only mount has the files.
func around(root fs.FS, mount, group string, files ...string) int64 {
	least := int64(math.MaxInt64)
	for group = path.Clean("/" + group); ; group = path.Dir(group) {
		for _, name := range files {
			text, err := fs.ReadFile(root, path.Join(mount, group, name))
			if err != nil {
				continue
			}
			if n, err := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64); err == nil && n > 0 {
				least = min(least, n) // "max" fails to parse and is skipped
			}
		}
		if group == "/" {
			return least
		}
	}
}
