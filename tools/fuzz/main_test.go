package main

import (
	"slices"
	"testing"
)

func TestListed_Output_TestsByPackage(t *testing.T) {
	out := "FuzzA\nFuzzB\nok  \texample.org/a\t0.01s\n" +
		"?   \texample.org/none\t[no test files]\n" +
		"ok  \texample.org/plain\t0.01s\nFuzzC\nok  \texample.org/c\t0.01s\n"
	want := []fuzzTest{{"example.org/a", "FuzzA"}, {"example.org/a", "FuzzB"}, {"example.org/c", "FuzzC"}}
	if got := listed(out); !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestRun_NoDuration_Refused(t *testing.T) {
	for _, args := range [][]string{nil, {"soon"}, {"0s"}, {"-1s"}, {"1s", "2s"}} {
		if err := run(t.Context(), args); err == nil {
			t.Errorf("%q: got no error, want one", args)
		}
	}
}
