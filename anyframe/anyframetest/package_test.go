package anyframetest_test

import (
	"crypto/tls"
	"go/parser"
	"go/token"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/anyframe-relay/relay/anyframe/anyframetest"
)

func TestPackage_Imports_StandardLibraryOnly(t *testing.T) {
	files, err := os.ReadDir(".")
	if err != nil {
		t.Fatal(err)
	}
	parsed := 0
	for _, f := range files {
		if !strings.HasSuffix(f.Name(), ".go") || strings.HasSuffix(f.Name(), "_test.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), f.Name(), nil, parser.ImportsOnly)
		if err != nil {
			t.Fatal(err)
		}
		parsed++
		for _, spec := range file.Imports {
			path, err := strconv.Unquote(spec.Path.Value)
			if err != nil {
				t.Fatal(err)
			}
			first, _, _ := strings.Cut(path, "/")
			if strings.Contains(first, ".") || path == "testing" {
				t.Errorf("%s: got import %q, want the standard library without package testing", f.Name(), path)
			}
		}
	}
	if parsed < 5 {
		t.Errorf("got %d files, want all of the package", parsed)
	}
}

func TestOptions_Invalid_Panic(t *testing.T) {
	cp := anyframetest.New()
	t.Cleanup(cp.Close)
	for name, mistake := range map[string]func(){
		"a step of nothing":       func() { anyframetest.WithSeqStep(0) },
		"a delta of nothing":      func() { anyframetest.WithWordsPerDelta(0) },
		"half a certificate":      func() { anyframetest.WithTLS(tls.Certificate{}) },
		"a payload that isn't it": func() { cp.Post(strangersID, func() {}) },
	} {
		t.Run(name, func(t *testing.T) {
			defer func() {
				if got, is := recover().(string); !is || !strings.HasPrefix(got, "anyframetest: ") {
					t.Errorf("got panic %q, want one that names the package", got)
				}
			}()
			mistake()
		})
	}
}
