package relay_test

import (
	"bytes"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "github.com/anyframe-relay/relay/"

// layers lists every package of the module, lower ones first, with the packages of the
// module that it may import outside its tests. One line per package; a package imports
// only packages listed above it, so there is no cycle.
var layers = []struct{ name, imports string }{
	{"anyframe/anyframetest", ""},
	{"anyframe/internal/loose", ""},
	{"anyframe/internal/sse", ""},
	{"cmd/relay/internal/memlimit", ""},
	{"cmd/relay/internal/probe", ""},
	{"cmd/relay/internal/sitefile", ""},
	{"cmd/relay/licenses", ""},
	{"deploy", ""},
	{"examples/identity/go", ""},
	{"relay/internal/backoff", ""},
	{"relay/internal/chunks", ""},
	{"relay/internal/clientip", ""},
	{"relay/internal/device", ""},
	{"relay/internal/eventlog", ""},
	{"relay/internal/group", ""},
	{"relay/internal/h2events", ""},
	{"relay/internal/jsonscan", ""},
	{"relay/internal/origin", ""},
	{"relay/internal/poll", ""},
	{"relay/internal/redact", ""},
	{"relay/internal/roster", ""},
	{"relay/internal/store", ""},
	{"tools/audit", ""},
	{"tools/fuzz", ""},
	{"tools/ports", ""},
	{"tools/release", ""},
	{"tools/setup", ""},
	{"tools/structure", ""},
	{"tools/testtools", ""},
	{"web", ""},
	{"web/console", ""},
	{"anyframe", "anyframe/internal/loose anyframe/internal/sse"},
	{"cmd/relay/internal/operate", "cmd/relay/internal/probe"},
	{"relay/internal/event", "relay/internal/eventlog relay/internal/jsonscan relay/internal/redact"},
	{"relay/internal/feedback", "relay/internal/group relay/internal/store"},
	{"relay/internal/history", "relay/internal/store"},
	{"relay/internal/lease", "relay/internal/backoff relay/internal/store"},
	{"relay/internal/store/memory", "relay/internal/store"},
	{"relay/internal/store/redis", "relay/internal/store"},
	{"relay/internal/store/redistest", "tools/ports"},
	{"relay/internal/store/sqlite", "relay/internal/store"},
	{"relay/internal/store/storetest", "relay/internal/store"},
	{"relay/internal/telemetry", "relay/internal/store"},
	{"relay/internal/usage", "relay/internal/store"},
	{"tools/newcomer", "anyframe/anyframetest"},
	{"tools/proxytest", "deploy tools/ports"},
	{"web/test/plane", "anyframe/anyframetest"},
	{"relay/internal/ledger", "relay/internal/event relay/internal/store"},
	{"relay/internal/store/stores", "relay/internal/store relay/internal/store/memory relay/internal/store/redis relay/internal/store/sqlite"},
	{"relay/internal/upstream", "anyframe relay/internal/backoff relay/internal/group relay/internal/jsonscan relay/internal/telemetry"},
	{"relay/internal/visitorctx", "anyframe relay/internal/event relay/internal/store"},
	{"relay/internal/webhook", "relay/internal/backoff relay/internal/lease relay/internal/redact relay/internal/store relay/internal/telemetry"},
	{"tools/chaos", "anyframe/anyframetest tools/ports tools/proxytest"},
	{"relay/internal/conversation", "anyframe relay/internal/chunks relay/internal/event relay/internal/eventlog relay/internal/ledger relay/internal/redact relay/internal/telemetry relay/internal/upstream"},
	{"relay/internal/erasure", "anyframe relay/internal/backoff relay/internal/history relay/internal/lease relay/internal/redact relay/internal/store relay/internal/telemetry relay/internal/upstream"},
	{"relay/internal/problem", "anyframe relay/internal/store relay/internal/upstream"},
	{"relay/internal/sandbox", "anyframe relay/internal/backoff relay/internal/upstream"},
	{"relay/internal/body", "relay/internal/problem"},
	{"relay/internal/challenge", "relay/internal/problem relay/internal/store"},
	{"relay/internal/consent", "relay/internal/problem relay/internal/store"},
	{"relay/internal/control", "relay/internal/problem relay/internal/store"},
	{"relay/internal/delivery", "anyframe relay/internal/backoff relay/internal/conversation relay/internal/event relay/internal/ledger relay/internal/problem relay/internal/store relay/internal/upstream relay/internal/visitorctx"},
	{"relay/internal/intake", "anyframe relay/internal/backoff relay/internal/conversation relay/internal/eventlog relay/internal/problem relay/internal/telemetry relay/internal/upstream"},
	{"relay/internal/past", "anyframe relay/internal/conversation relay/internal/event relay/internal/feedback relay/internal/history relay/internal/ledger relay/internal/store relay/internal/telemetry relay/internal/visitorctx"},
	{"relay/internal/record", "relay/internal/event relay/internal/problem relay/internal/store"},
	{"relay/internal/standing", "relay/internal/conversation relay/internal/event relay/internal/eventlog"},
	{"relay/internal/stream", "relay/internal/event relay/internal/eventlog relay/internal/feedback relay/internal/group relay/internal/poll relay/internal/problem relay/internal/telemetry"},
	{"relay/internal/strictjson", "relay/internal/problem"},
	{"relay/internal/turnqueue", "relay/internal/problem"},
	{"relay/internal/visitor", "relay/internal/problem relay/internal/store"},
	{"relay/internal/widget", "relay/internal/problem"},
	{"relay/internal/writer", "relay/internal/conversation relay/internal/ledger relay/internal/store"},
	{"relay/internal/admission", "relay/internal/challenge relay/internal/problem"},
	{"relay/internal/caller", "relay/internal/clientip relay/internal/origin relay/internal/visitor"},
	{"relay/internal/journal", "relay/internal/control relay/internal/history relay/internal/store relay/internal/webhook"},
	{"relay/internal/limits", "relay/internal/challenge relay/internal/clientip relay/internal/problem relay/internal/telemetry"},
	{"relay/internal/message", "anyframe relay/internal/event relay/internal/problem relay/internal/strictjson relay/internal/visitorctx"},
	{"relay/internal/stop", "relay/internal/backoff relay/internal/conversation relay/internal/delivery relay/internal/event relay/internal/intake relay/internal/ledger relay/internal/problem relay/internal/redact relay/internal/sandbox relay/internal/store"},
	{"relay/internal/capacity", "relay/internal/group relay/internal/limits relay/internal/problem relay/internal/redact relay/internal/store relay/internal/telemetry relay/internal/upstream"},
	{"relay/internal/pump", "relay/internal/admission relay/internal/backoff relay/internal/problem"},
	{"relay/internal/resync", "relay/internal/group relay/internal/limits relay/internal/store"},
	{"relay/internal/session", "anyframe relay/internal/admission relay/internal/backoff relay/internal/capacity relay/internal/clientip relay/internal/conversation relay/internal/delivery relay/internal/device relay/internal/event relay/internal/eventlog relay/internal/group relay/internal/history relay/internal/intake relay/internal/lease relay/internal/ledger relay/internal/limits relay/internal/problem relay/internal/pump relay/internal/record relay/internal/redact relay/internal/resync relay/internal/roster relay/internal/sandbox relay/internal/standing relay/internal/stop relay/internal/store relay/internal/telemetry relay/internal/turnqueue relay/internal/upstream relay/internal/visitorctx relay/internal/writer"},
	{"relay/internal/admin", "anyframe relay/internal/control relay/internal/erasure relay/internal/event relay/internal/feedback relay/internal/history relay/internal/journal relay/internal/past relay/internal/problem relay/internal/redact relay/internal/session relay/internal/store relay/internal/telemetry relay/internal/upstream relay/internal/usage"},
	{"relay/internal/httpapi", "relay/internal/admission relay/internal/body relay/internal/caller relay/internal/challenge relay/internal/clientip relay/internal/consent relay/internal/control relay/internal/erasure relay/internal/event relay/internal/eventlog relay/internal/feedback relay/internal/history relay/internal/limits relay/internal/message relay/internal/origin relay/internal/past relay/internal/problem relay/internal/redact relay/internal/session relay/internal/store relay/internal/stream relay/internal/strictjson relay/internal/telemetry relay/internal/visitor relay/internal/visitorctx relay/internal/widget"},
	{"relay", "anyframe relay/internal/admin relay/internal/admission relay/internal/backoff relay/internal/challenge relay/internal/clientip relay/internal/consent relay/internal/control relay/internal/conversation relay/internal/erasure relay/internal/event relay/internal/eventlog relay/internal/feedback relay/internal/group relay/internal/h2events relay/internal/history relay/internal/httpapi relay/internal/journal relay/internal/lease relay/internal/limits relay/internal/message relay/internal/origin relay/internal/past relay/internal/problem relay/internal/record relay/internal/redact relay/internal/session relay/internal/stop relay/internal/store relay/internal/store/stores relay/internal/stream relay/internal/telemetry relay/internal/upstream relay/internal/usage relay/internal/visitor relay/internal/visitorctx relay/internal/webhook relay/internal/widget web web/console"},
	{"cmd/relay/internal/doctor", "anyframe cmd/relay/internal/probe relay"},
	{"cmd/relay", "anyframe/anyframetest cmd/relay/internal/doctor cmd/relay/internal/memlimit cmd/relay/internal/operate cmd/relay/internal/probe cmd/relay/internal/sitefile cmd/relay/licenses relay"},
}

// Limits of packages and files, without tests.
const (
	packageLimit = 2000
	fileLimit    = 350
)

// exceptions gives the reason for each rule that a package or file breaks. An exception
// that is no longer needed fails the test.
var exceptions = map[string]string{
	"relay/internal/session is large":         "a visitor's chat, whose parts change together; what can stand alone is out",
	"relay/internal/store/storetest is large": "one suite for all backends and all kinds of row",
	"anyframe is large":                       "a flat client with a file for each resource",
	"anyframe/anyframetest is large":          "a scripted control plane for the whole API",
}

// layer is a package as found in the source.
type layer struct {
	imports []string       // packages of the module
	files   map[string]int // lines
}

func TestLayers(t *testing.T) {
	t.Parallel()
	packages := readLayers(t)
	used := map[string]bool{}
	allowed := func(rule string) bool {
		used[rule] = true
		return exceptions[rule] != ""
	}

	above := map[string]bool{}
	for _, row := range layers {
		p, ok := packages[row.name]
		if !ok {
			t.Errorf("layers lists %s, and there is no such package: remove the line", row.name)
			continue
		}
		may := strings.Fields(row.imports)
		for _, to := range p.imports {
			if !slices.Contains(may, to) {
				t.Errorf("%s imports %s, which its line in layers does not allow", row.name, to)
			}
		}
		for _, to := range may {
			if !slices.Contains(p.imports, to) {
				t.Errorf("layers lets %s import %s, and it no longer does: remove the name", row.name, to)
			}
			if !above[to] {
				t.Errorf("%s may import %s, which is not above it in layers", row.name, to)
			}
		}
		above[row.name] = true
	}

	for name, p := range packages {
		if !above[name] {
			t.Errorf("%s has no line in layers", name)
		}
		if strings.HasPrefix(name, "internal/") && !allowed(name+" is at the top") {
			t.Errorf("%s is in a folder internal/ at the top: it belongs below who uses it", name)
		}
		for _, to := range p.imports {
			inside := func(name string) bool { return name == "anyframe" || strings.HasPrefix(name, "anyframe/") }
			if inside(name) && !inside(to) && !allowed(name+" imports "+to) {
				t.Errorf("%s imports %s: the client stands alone", name, to)
			}
		}
		sum := 0
		for file, lines := range p.files {
			sum += lines
			if lines > fileLimit && !allowed(name+"/"+file+" is large") {
				t.Errorf("%s/%s has %d lines, more than %d: split it", name, file, lines, fileLimit)
			}
		}
		if sum > packageLimit && !allowed(name+" is large") {
			t.Errorf("%s has %d lines, more than %d: split it", name, sum, packageLimit)
		}
	}
	for rule := range exceptions {
		if !used[rule] {
			t.Errorf("the exception %q is not needed: remove it", rule)
		}
	}
}

// TestFiles_Scripts_StaySmall applies the limit of Go files to the sources of the widget,
// the console and the JavaScript client.
func TestFiles_Scripts_StaySmall(t *testing.T) {
	t.Parallel()
	var all []string
	for _, pattern := range []string{"../web/src/*.js", "../web/console/*.js", "../clients/js/src/*.js"} {
		found, err := filepath.Glob(pattern)
		if err != nil || len(found) == 0 {
			t.Fatalf("%s: got %d files, error %v", pattern, len(found), err)
		}
		all = append(all, found...)
	}
	for _, file := range all {
		content, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if lines := bytes.Count(content, []byte("\n")); lines > fileLimit && !strings.HasSuffix(file, ".test.js") {
			t.Errorf("%s has %d lines, more than %d: split it", file, lines, fileLimit)
		}
	}
}

// readLayers reads the imports of every package of the module, on all platforms. It walks
// the folders itself, because go test would reuse a cached result forever if it used go
// list.
func readLayers(t *testing.T) map[string]layer {
	t.Helper()
	packages := map[string]layer{}
	err := filepath.WalkDir("..", func(path string, d fs.DirEntry, err error) error {
		switch name := d.Name(); {
		case err != nil || path == "..":
			return err
		case !d.IsDir():
			if strings.HasSuffix(name, ".go") && !strings.HasSuffix(name, "_test.go") {
				return readFile(packages, path)
			}
		case name == "testdata", name == "node_modules", strings.HasPrefix(name, "."), strings.HasPrefix(name, "_"):
			return fs.SkipDir
		default:
			if _, err := os.Stat(filepath.Join(path, "go.mod")); err == nil {
				return fs.SkipDir // a module of its own
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return packages
}

// readFile adds a source file to its package.
func readFile(packages map[string]layer, path string) error {
	content, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	file, err := parser.ParseFile(token.NewFileSet(), path, content, parser.ImportsOnly)
	if err != nil {
		return err
	}
	name := strings.TrimPrefix(filepath.ToSlash(filepath.Dir(path)), "../")
	l := packages[name]
	if l.files == nil {
		l.files = map[string]int{}
	}
	l.files[filepath.Base(path)] = bytes.Count(content, []byte("\n"))
	for _, spec := range file.Imports {
		imported, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			return err
		}
		if to, ok := strings.CutPrefix(imported, module); ok && !slices.Contains(l.imports, to) {
			l.imports = append(l.imports, to)
		}
	}
	packages[name] = l
	return nil
}
