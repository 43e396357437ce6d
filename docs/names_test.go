package docs

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"go.yaml.in/yaml/v3"
)

// documents returns all documents by their path relative to this directory.
func documents(t *testing.T) map[string]string {
	t.Helper()
	all := map[string]string{}
	for _, pattern := range []string{"*.md", "../*.md", "../examples/*.md", "../bench/*.md", "../deploy/*.md"} {
		paths, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		for _, path := range paths {
			all[path] = read(t, path)
		}
	}
	if len(all) < 8 {
		t.Fatalf("got %d documents, want all", len(all))
	}
	return all
}

// textOf returns the text of all files that match the patterns, without tests.
func textOf(t *testing.T, patterns ...string) string {
	t.Helper()
	var b strings.Builder
	for _, pattern := range patterns {
		paths, err := filepath.Glob(pattern)
		if err != nil || len(paths) == 0 {
			t.Fatalf("%s: got %d files, %v", pattern, len(paths), err)
		}
		for _, path := range paths {
			if !strings.HasSuffix(path, "_test.go") && !strings.Contains(path, ".test.") {
				b.WriteString(read(t, path))
			}
		}
	}
	return b.String()
}

// program builds the relay once and returns its path.
var program = sync.OnceValues(func() (string, error) {
	path := filepath.Join(folder, "relay")
	if out, err := exec.Command("go", "build", "-buildvcs=false", "-o", path, "../cmd/relay").CombinedOutput(); err != nil {
		return "", fmt.Errorf("go build: %w\n%s", err, out)
	}
	return path, nil
})

var folder string // of the relay's binary

func TestMain(m *testing.M) {
	var err error
	if folder, err = os.MkdirTemp("", "relay-docs-"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	code := m.Run()
	_ = os.RemoveAll(folder)
	os.Exit(code)
}

// helpText returns the output of relay help.
func helpText(t *testing.T) string {
	t.Helper()
	path, err := program()
	if err != nil {
		t.Fatal(err)
	}
	out, err := exec.CommandContext(t.Context(), path, "help").Output()
	if err != nil {
		t.Fatalf("relay help: %v", err)
	}
	return string(out)
}

// each calls check with the first submatch of every match of pattern in the documents.
func each(t *testing.T, pattern string, check func(path, name string)) {
	t.Helper()
	found := 0
	for path, text := range documents(t) {
		for _, m := range regexp.MustCompile(pattern).FindAllStringSubmatch(text, -1) {
			found++
			check(path, m[1])
		}
	}
	if found == 0 {
		t.Errorf("the documents have nothing like %s", pattern)
	}
}

func TestDocs_MakeTargets_Exist(t *testing.T) {
	t.Parallel()
	makefile := read(t, "../Makefile")
	each(t, "(?m)(?:`|^|&& )make ([a-z-]+)", func(path, name string) {
		if !strings.Contains(makefile, "\n"+name+":") {
			t.Errorf("%s: there is no make %s", path, name)
		}
	})
}

func TestDocs_Commands_Exist(t *testing.T) {
	t.Parallel()
	text := helpText(t)
	each(t, "(?:`relay|cmd/relay) ([a-z]+)\\b", func(path, name string) {
		if !regexp.MustCompile(`(?m)^  (?:relay, )?relay ` + name + ` `).MatchString(text) {
			t.Errorf("%s: there is no relay %s", path, name)
		}
	})
}

func TestDocs_Variables_Exist(t *testing.T) {
	t.Parallel()
	// The help lists the settings. The other files use variables for tests and deployment.
	known := helpText(t) + read(t, "../Makefile") + read(t, "../deploy/Caddyfile") + textOf(t, "../cmd/*/*.go", "../tools/*/*.go", "../anyframe/*.go", "../bench/*/*.go", "../examples/*/*.php") +
		read(t, "../web/web_test.go") + read(t, "../web/test/fake-relay.mjs") + read(t, "../web/test/helpers.mjs") + read(t, "../relay/soak_test.go")
	each(t, `\b((?:RELAY|ANYFRAME)_[A-Z_]*[A-Z])\b`, func(path, name string) {
		if !regexp.MustCompile(`\b` + name + `\b`).MatchString(known) {
			t.Errorf("%s: there is no %s", path, name)
		}
	})
}

func TestDocs_Metrics_Exist(t *testing.T) {
	t.Parallel()
	code := textOf(t, "../relay/*.go", "../relay/internal/*/*.go", "../relay/internal/store/*.go", "../relay/internal/store/*/*.go", "../cmd/relay/*.go")
	each(t, `\b(relay_[a-z_]*[a-z])\b`, func(path, name string) {
		base := regexp.MustCompile(`_(bucket|sum|count)$`).ReplaceAllString(name, "")
		if !strings.Contains(code, `"`+base+`"`) && name != "relay_data" { // the name of a volume on Fly
			t.Errorf("%s: there is no metric %s", path, name)
		}
	})
}

func TestDocs_LinkedFiles_Exist(t *testing.T) {
	t.Parallel()
	anchor := regexp.MustCompile(`[^a-z0-9 _-]`)
	all := documents(t)
	for path, text := range all {
		text = regexp.MustCompile("(?s)```.*?```|`[^`\n]*`").ReplaceAllString(text, "")
		for _, m := range regexp.MustCompile(`\]\(([^)\s]+)\)|src="([^"]+)"`).FindAllStringSubmatch(text, -1) {
			target := m[1] + m[2]
			if strings.Contains(target, "://") {
				continue
			}
			file, section, _ := strings.Cut(target, "#")
			if file = filepath.Join(filepath.Dir(path), file); strings.HasPrefix(target, "#") {
				file = path
			}
			if _, err := os.Stat(file); err != nil {
				t.Errorf("%s: %v", path, err)
				continue
			}
			if section == "" {
				continue
			}
			var anchors []string
			for _, h := range regexp.MustCompile(`(?m)^#+ (.*)$`).FindAllStringSubmatch(read(t, file), -1) {
				anchors = append(anchors, strings.ReplaceAll(anchor.ReplaceAllString(strings.ToLower(h[1]), ""), " ", "-"))
			}
			if !slices.Contains(anchors, section) {
				t.Errorf("%s: %s has no section %s", path, file, section)
			}
		}
	}
}

func TestDocs_Paths_Exist(t *testing.T) {
	t.Parallel()
	each(t, "`((?:anyframe|bench|cmd|deploy|docs|examples|relay|tools|web)/[\\w./-]+)`", func(path, name string) {
		for _, ending := range []string{"", ".go"} { // the extension .go may be omitted
			if _, err := os.Stat(filepath.Join("..", name+ending)); err == nil {
				return
			}
		}
		t.Errorf("%s: there is no %s", path, name)
	})
}

type api struct {
	Paths      map[string]any
	Components struct {
		Responses map[string]struct {
			Content map[string]struct {
				Schema struct {
					Properties struct{ Code struct{ Enum []string } }
				}
			}
		}
	}
}

func TestDocs_APIProse_MatchesOpenAPI(t *testing.T) {
	t.Parallel()
	var d api
	if err := yaml.Unmarshal([]byte(read(t, "openapi.yaml")), &d); err != nil {
		t.Fatal(err)
	}
	codes := map[string]bool{}
	for _, r := range d.Components.Responses {
		for _, c := range r.Content["application/problem+json"].Schema.Properties.Code.Enum {
			codes[c] = true
		}
	}
	codes["method_not_allowed"] = true // for an operation that does not exist
	prose := read(t, "http-api.md")
	_, table, _ := strings.Cut(prose, "## Refusals")
	table, _, _ = strings.Cut(table, "\nTreat ")
	told := map[string]bool{}
	for _, row := range regexp.MustCompile(`(?m)^\| [0-9, ]+ \| ([^|]+)\|`).FindAllStringSubmatch(table, -1) {
		for _, m := range regexp.MustCompile("`([a-z_]+)`").FindAllStringSubmatch(row[1], -1) {
			told[m[1]] = true
		}
	}
	for code := range codes {
		if !told[code] {
			t.Errorf("http-api.md does not tell of %s", code)
		}
	}
	for code := range told {
		if !codes[code] {
			t.Errorf("openapi.yaml does not tell of %s", code)
		}
	}
	for path := range d.Paths {
		if name := strings.TrimSuffix(path, "{file}"); !strings.Contains(prose, name) {
			t.Errorf("http-api.md does not tell of %s", path)
		}
	}
	each(t, "(?:GET|POST|DELETE) (/v1/[a-z/{}]*[a-z}])", func(path, name string) {
		if d.Paths[name] == nil {
			t.Errorf("%s: there is no %s", path, name)
		}
	})
}

// named returns the names in the first column of the table whose first heading is heading.
func named(t *testing.T, text, heading string) []string {
	t.Helper()
	_, section, ok := strings.Cut(text, "\n| "+heading+" |")
	if !ok {
		t.Fatalf("there is no table of %s", heading)
	}
	var names []string
	for line := range strings.Lines(section[strings.Index(section, "\n")+1:]) {
		if !strings.HasPrefix(line, "|") {
			break
		}
		for _, m := range regexp.MustCompile("`([a-zA-Z-]+)[^`]*`").FindAllStringSubmatch(strings.Split(line, " | ")[0], -1) {
			names = append(names, m[1])
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

func TestDocs_Embedding_CoversWidget(t *testing.T) {
	t.Parallel()
	text, loader := read(t, "embedding.md"), read(t, "../web/src/loader.js")
	code := textOf(t, "../web/src/*.js")
	all := func(pattern, in string) []string {
		var names []string
		for _, m := range regexp.MustCompile(pattern).FindAllStringSubmatch(in, -1) {
			names = append(names, strings.Fields(strings.Join(m[1:], " "))...)
		}
		slices.Sort(names)
		return slices.Compact(names)
	}
	events := all(`emit\("([a-z-]+)"`, code)
	if strings.Contains(code, `emit(event.type, { id`) { // for these two types
		events = append(events, "question", "approval")
		slices.Sort(events)
	}
	parts := all(`part(?:: |", | = )"([a-z -]+)"|iconButton\("[a-z]+", "([a-z]+)"`, code)
	if strings.Contains(code, "part: `card ${kind}`") { // for the same two types
		parts = append(parts, "card", "question", "approval")
		slices.Sort(parts)
	}
	for heading, want := range map[string][]string{
		"setting":         all(`const names = "([^"]+)"`, loader),
		"call":            all(`const methods = "([^"]+)"`, loader),
		"event":           events,
		"custom property": all(`var\((--relay-[a-z-]+)`, code),
		"part":            parts,
	} {
		if got := named(t, text, heading); len(want) == 0 || !slices.Equal(got, want) {
			t.Errorf("%s: got %q in the document, want %q", heading, got, want)
		}
	}
}
