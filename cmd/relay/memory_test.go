package main

import (
	"bytes"
	"log/slog"
	"math"
	"runtime/debug"
	"strings"
	"testing"
	"testing/fstest"
)

// Not parallel, because the limit applies to the whole process.
func TestMemory_LimitOfContainer_KeptUnlessOperatorSetOne(t *testing.T) {
	before := debug.SetMemoryLimit(-1)
	t.Cleanup(func() { debug.SetMemoryLimit(before) })
	limited := fstest.MapFS{
		"proc/self/cgroup":         {Data: []byte("0::/\n")},
		"sys/fs/cgroup/memory.max": {Data: []byte("1000000000\n")},
	}
	for name, tt := range map[string]struct {
		root fstest.MapFS
		set  string
		want int64
		said string
	}{
		"limited":               {limited, "", 900000000, "msg=\"memory limit set\" bytes=900000000 of=1000000000\n"},
		"the operator set one":  {limited, "2GiB", math.MaxInt64, ""},
		"the operator set none": {limited, "off", math.MaxInt64, ""},
		"not limited":           {fstest.MapFS{}, "", math.MaxInt64, ""},
	} {
		debug.SetMemoryLimit(math.MaxInt64)
		var out bytes.Buffer
		limitMemory(func(name string) (string, bool) { return tt.set, name == "GOMEMLIMIT" && tt.set != "" }, tt.root, slog.New(slog.NewTextHandler(&out, nil)))
		if got := debug.SetMemoryLimit(-1); got != tt.want {
			t.Errorf("%s: got limit %d, want %d", name, got, tt.want)
		}
		if got := out.String(); tt.said == "" && got != "" || !strings.HasSuffix(got, tt.said) || strings.Count(got, "\n") > 1 {
			t.Errorf("%s: got log %q, want %q", name, got, tt.said)
		}
	}
}
