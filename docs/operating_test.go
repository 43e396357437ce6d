package docs

import (
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

func read(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// section returns the text under a heading of the second level.
func section(t *testing.T, page, heading string) string {
	t.Helper()
	_, rest, ok := strings.Cut(read(t, page), "\n## "+heading+"\n")
	if !ok {
		t.Fatalf("%s has no section %q", page, heading)
	}
	part, _, _ := strings.Cut(rest, "\n## ")
	return part
}

var code = regexp.MustCompile("`([^`]+)`")

// table maps each name in the first column to the text of the second.
func table(t *testing.T, text string) map[string]string {
	t.Helper()
	rows := map[string]string{}
	for line := range strings.Lines(text) {
		cells := strings.Split(line, " | ")
		if !strings.HasPrefix(line, "| `") || len(cells) < 3 {
			continue
		}
		for _, name := range code.FindAllStringSubmatch(cells[0], -1) {
			if _, twice := rows[name[1]]; twice {
				t.Errorf("%s is explained twice", name[1])
			}
			rows[name[1]] = cells[1]
		}
	}
	return rows
}

// same compares what a document explains with what exists.
func same(t *testing.T, documented, there map[string]string) {
	t.Helper()
	for _, name := range slices.Sorted(maps.Keys(documented)) {
		switch what, ok := there[name]; {
		case !ok:
			t.Errorf("%s: is explained, and there is none", name)
		case what != documented[name]:
			t.Errorf("%s: is called %q, want %q", name, documented[name], what)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(there)) {
		if _, ok := documented[name]; !ok {
			t.Errorf("%s: is not explained", name)
		}
	}
}

// sources returns the relay's source files, except tests.
func sources(t *testing.T) (files []string) {
	t.Helper()
	for _, pattern := range []string{"../relay/*.go", "../relay/internal/*/*.go", "../cmd/relay/*.go"} {
		found, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range found {
			if !strings.HasSuffix(f, "_test.go") {
				files = append(files, f)
			}
		}
	}
	return files
}

func TestOperating_EveryMetric_Explained(t *testing.T) {
	metrics := map[string]string{}
	made := regexp.MustCompile(`(gauge|counter|histogram)s?\("(relay_[a-z_]+)"|(Gauge)(?:Func|)\(prometheus\.GaugeOpts\{\s+Name:\s+"(relay_[a-z_]+)"`)
	for _, file := range sources(t) {
		for _, m := range made.FindAllStringSubmatch(read(t, file), -1) {
			metrics[m[2]+m[4]] = strings.ToLower(m[1] + m[3])
		}
	}
	if len(metrics) < 25 {
		t.Fatalf("got %d metrics in the source, want all", len(metrics))
	}
	same(t, table(t, section(t, "operating.md", "Metrics")), metrics)
}

func TestOperating_EveryAlert_Explained(t *testing.T) {
	var rules struct {
		Groups []struct {
			Rules []struct {
				Alert  string
				Labels map[string]string
			}
		}
	}
	if err := yaml.Unmarshal([]byte(read(t, "../deploy/alerts.yaml")), &rules); err != nil {
		t.Fatal(err)
	}
	alerts := map[string]string{}
	for _, g := range rules.Groups {
		for _, r := range g.Rules {
			alerts[r.Alert] = r.Labels["severity"]
		}
	}
	same(t, table(t, section(t, "operating.md", "Alerts")), alerts)
}

// logged returns the messages that a file logs, each with its levels.
func logged(t *testing.T, file string, into map[string]string) {
	t.Helper()
	tree, err := parser.ParseFile(token.NewFileSet(), file, nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	levels := map[string]string{"Info": "info", "Warn": "warn", "Error": "error", "Log": "info", "LogAttrs": "info"}
	ast.Inspect(tree, func(n ast.Node) bool {
		call, ok := n.(*ast.CallExpr)
		if !ok {
			return true
		}
		name, ok := call.Fun.(*ast.SelectorExpr)
		if !ok || levels[name.Sel.Name] == "" {
			return true
		}
		at := 0
		if strings.HasPrefix(name.Sel.Name, "Log") {
			at = 2 // after the context and the level
		}
		if len(call.Args) <= at {
			return true
		}
		lit, ok := call.Args[at].(*ast.BasicLit)
		if !ok || lit.Kind != token.STRING {
			return true
		}
		msg, err := strconv.Unquote(lit.Value)
		if err != nil {
			t.Fatal(err)
		}
		level := levels[name.Sel.Name]
		if have := into[msg]; have != "" && !strings.Contains(have, level) {
			all := []string{have, level}
			slices.Sort(all)
			level = strings.Join(all, ", ")
		}
		into[msg] = level
		return true
	})
}

func TestOperating_EveryLogLine_Explained(t *testing.T) {
	messages := map[string]string{}
	for _, file := range sources(t) {
		logged(t, file, messages)
	}
	if len(messages) < 30 {
		t.Fatalf("got %d messages in the source, want all", len(messages))
	}
	same(t, table(t, section(t, "operating.md", "Logs")), messages)
}

func TestOperating_Names_Exist(t *testing.T) {
	page := read(t, "operating.md")
	settings := read(t, "../.env.example")
	for _, m := range regexp.MustCompile(`\b(?:RELAY|ANYFRAME)_[A-Z_]+\b`).FindAllString(page, -1) {
		if !strings.Contains(settings, "\n"+m+"=") && !strings.Contains(settings, "# "+m+"=") {
			t.Errorf("%s: there is no such setting", m)
		}
	}
	for _, m := range regexp.MustCompile(`\]\(([^)#]+)\)`).FindAllStringSubmatch(page, -1) {
		if _, err := os.Stat(m[1]); err != nil {
			t.Errorf("a link leads nowhere: %v", err)
		}
	}
	help := read(t, "../cmd/relay/help.go")
	for _, m := range regexp.MustCompile("(?m)(?:`|^)(relay (?:doctor|health|serve|demo|version|help))").FindAllStringSubmatch(page, -1) {
		if !strings.Contains(help, m[1]) {
			t.Errorf("%s: there is no such command", m[1])
		}
	}
}
