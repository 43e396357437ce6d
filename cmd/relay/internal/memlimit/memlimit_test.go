package memlimit_test

import (
	"math"
	"runtime/debug"
	"testing"
	"testing/fstest"

	"github.com/anyframe-relay/relay/cmd/relay/internal/memlimit"
)

// system returns a file system with these files.
func system(files map[string]string) fstest.MapFS {
	all := fstest.MapFS{}
	for name, text := range files {
		all[name] = &fstest.MapFile{Data: []byte(text)}
	}
	return all
}

var systems = map[string]struct {
	files map[string]string
	want  int64
}{
	"not Linux": {nil, 0},
	"version 2, in a container": {map[string]string{
		"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/memory.max": "268435456\n",
	}, 256 << 20},
	"version 2, a service": {map[string]string{
		"proc/self/cgroup": "0::/system.slice/relay.service\n", "sys/fs/cgroup/system.slice/relay.service/memory.max": "536870912\n",
	}, 512 << 20},
	"version 2, the group around it has less": {map[string]string{
		"proc/self/cgroup":                     "0::/pod/relay\n",
		"sys/fs/cgroup/pod/relay/memory.max":   "536870912\n",
		"sys/fs/cgroup/pod/memory.max":         "134217728\n",
		"sys/fs/cgroup/memory.max":             "max\n",
		"sys/fs/cgroup/neighbour/memory.max":   "1\n",
		"sys/fs/cgroup/pod/relay/x/memory.max": "1\n",
	}, 128 << 20},
	"version 2, slowed down before its limit": {map[string]string{
		"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/memory.max": "268435456\n", "sys/fs/cgroup/memory.high": "134217728\n",
	}, 128 << 20},
	"version 2, no limit": {map[string]string{
		"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/memory.max": "max\n", "sys/fs/cgroup/memory.high": "max\n",
	}, 0},
	"version 1, in a container": {map[string]string{
		"proc/self/cgroup":                           "11:cpu,cpuacct:/docker/0f\n4:memory:/docker/0f\n1:name=systemd:/docker/0f\n",
		"sys/fs/cgroup/memory/memory.limit_in_bytes": "268435456\n",
	}, 256 << 20},
	"version 1, outside": {map[string]string{
		"proc/self/cgroup": "4:hugetlb,memory:/docker/0f\n",
		"sys/fs/cgroup/memory/docker/0f/memory.limit_in_bytes": "268435456\n",
		"sys/fs/cgroup/memory/memory.limit_in_bytes":           "9223372036854771712\n",
	}, 256 << 20},
	"version 1, no limit": {map[string]string{
		"proc/self/cgroup": "4:memory:/\n", "sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712\n",
	}, 0},
	"both versions": {map[string]string{
		"proc/self/cgroup": "4:memory:/a\n0::/b\n",
		"sys/fs/cgroup/memory/a/memory.limit_in_bytes": "134217728\n",
	}, 128 << 20},
	"what cannot be read": {map[string]string{
		"proc/self/cgroup": "nonsense\n0::/../../up\n:::\n\n", "sys/fs/cgroup/memory.max": "-5\n", "sys/fs/cgroup/up/memory.max": "many\n",
	}, 0},
}

func TestGroup_EverySystem_LeastLimit(t *testing.T) {
	for name, tt := range systems {
		if got := memlimit.Group(system(tt.files)); got != tt.want {
			t.Errorf("%s: got %d, want %d", name, got, tt.want)
		}
	}
}

func TestApply_EverySystem_NineTenthsOrUnchanged(t *testing.T) {
	before := debug.SetMemoryLimit(-1)
	t.Cleanup(func() { debug.SetMemoryLimit(before) })
	for name, tt := range systems {
		debug.SetMemoryLimit(math.MaxInt64)
		limit, group := memlimit.Apply(system(tt.files))
		want := tt.want / 100 * 90
		now := want
		if want == 0 {
			now = math.MaxInt64
		}
		if got := debug.SetMemoryLimit(-1); limit != want || group != tt.want || got != now {
			t.Errorf("%s: got limit %d of %d, and %d in force, want %d of %d and %d", name, limit, group, got, want, tt.want, now)
		}
	}
}
