package main

import (
	"strings"
	"testing"
)

func TestStructure_OfASmallModule(t *testing.T) {
	t.Parallel()
	var out strings.Builder
	if err := structure(&out, "testdata/mod", 1, []string{"(*mod.Big).Start..(*low.Log).Append"}); err != nil {
		t.Fatal(err)
	}
	got := strings.Join(strings.Fields(out.String()), " ")
	for what, want := range map[string]string{
		"a package whose files use each other":           "mod 4 44 a.go (25) 4 1",
		"a package that imports nothing":                 "low 1 8 low.go (8) 1 0",
		"the largest type":                               "mutexes mod.Big 3 4 4 1",
		"no more types than asked for":                   "3 4 4 1 IMPORTS",
		"the imports":                                    "mod → low",
		"the way, without a function that leads nowhere": "Append: shortest 4, any 4, reached 5 files",
		"the way's first function":                       "(*mod.Big).Start mod/a.go (*mod.Big).run mod/b.go (*mod.Big).write mod/c.go",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("%s: got %s, want it to have %q", what, out.String(), want)
		}
	}
}

func TestStructure_WrongPath(t *testing.T) {
	t.Parallel()
	for path, want := range map[string]string{
		"(*mod.Big).Start":                    "want FROM..TO",
		"mod.Missing..(*low.Log).Append":      "no function mod.Missing",
		"(*mod.Big).Start..mod.Missing":       "no function mod.Missing",
		"(*low.Log).Append..(*mod.Big).count": "does not lead to",
	} {
		err := structure(new(strings.Builder), "testdata/mod", 1, []string{path})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %q", path, err, want)
		}
	}
}

func TestLargestComponent(t *testing.T) {
	t.Parallel()
	g := graph{}
	for _, edge := range []string{"ab", "bc", "ca", "cd", "de", "ed", "ff"} {
		g.add(edge[:1], edge[1:])
	}
	if got := largestComponent(g); got != 3 {
		t.Errorf("got %d, want the 3 of a, b and c", got)
	}
	if got := largestComponent(graph{"a": nil}); got != 1 {
		t.Errorf("got %d for a single node, want 1", got)
	}
}
