package docs

import (
	"go/scanner"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// maxSentence is the maximum number of words in a sentence.
const maxSentence = 30

// avoided matches words with a clearer alternative: "the client", "a person", "again".
// The tests search the documents and the comments of all sources for them.
var avoided = regexp.MustCompile(`(?i)\b(whoever|whomever|somebody|nobody|anew|heed|thereof|whereof|of which|of whom|` +
	`(?:relay|replica|process|server|browser|store|AnyFrame|proxy|widget|program|Redis|SQLite|nginx) (?:hears|heard|tells|told|knows|knew|dies|died|forgets|forgot))\b`)

func TestProse_Words_Plain(t *testing.T) {
	t.Parallel()
	for path, text := range documents(t) {
		for i, line := range strings.Split(text, "\n") {
			if word := avoided.FindString(line); word != "" {
				t.Errorf("%s:%d says %q: say who or what it is", path, i+1, word)
			}
		}
	}
}

func TestProse_Sentences_Short(t *testing.T) {
	t.Parallel()
	for path, text := range documents(t) {
		if filepath.Base(path) == "CHANGELOG.md" { // a list for reference
			continue
		}
		for _, sentence := range sentences(text) {
			if n := len(strings.Fields(sentence)); n > maxSentence {
				t.Errorf("%s: %d words, want at most %d: %.90s…", path, n, maxSentence, sentence)
			}
		}
	}
}

func TestProse_Comments_Plain(t *testing.T) {
	t.Parallel()
	comments := map[string]func(string) []comment{".go": goComments, ".js": jsComments, ".mjs": jsComments}
	seen := map[string]int{}
	err := filepath.WalkDir("..", func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && (d.Name() == "node_modules" || d.Name() == "testdata" || d.Name() == ".git" || path == filepath.Join("..", "web", "static")):
			return fs.SkipDir
		}
		find := comments[filepath.Ext(path)]
		if find == nil || !d.Type().IsRegular() {
			return nil
		}
		source, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		for _, c := range find(string(source)) {
			seen[filepath.Ext(path)]++
			if word := avoided.FindString(c.text); word != "" {
				t.Errorf("%s:%d says %q: say who or what it is", path, c.line, word)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for extension := range comments {
		if seen[extension] == 0 {
			t.Errorf("got no comment in any %s file", extension)
		}
	}
}

// comment is one line of a comment.
type comment struct {
	line int // from 1
	text string
}

func goComments(source string) (all []comment) {
	files := token.NewFileSet()
	file := files.AddFile("", -1, len(source))
	var s scanner.Scanner
	s.Init(file, []byte(source), nil, scanner.ScanComments)
	for {
		pos, tok, text := s.Scan()
		if tok == token.EOF {
			return all
		}
		if tok != token.COMMENT {
			continue
		}
		first := file.PositionFor(pos, false).Line // ignores //line directives
		for i, line := range strings.Split(text, "\n") {
			all = append(all, comment{first + i, line})
		}
	}
}

// jsComments relies on the style of our sources: a comment begins a line, or follows code after
// a space. Each line of a block comment begins with a star.
func jsComments(source string) (all []comment) {
	for i, line := range strings.Split(source, "\n") {
		text := strings.TrimSpace(line)
		if !strings.HasPrefix(text, "//") && !strings.HasPrefix(text, "/*") && !strings.HasPrefix(text, "*") {
			_, text, _ = strings.Cut(text, " // ")
		}
		if text != "" {
			all = append(all, comment{i + 1, text})
		}
	}
	return all
}

func TestProse_CommentLines_Found(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		find   func(string) []comment
		source string
		want   []comment
	}{
		"Go":         {goComments, "package p // a\n\n/* b\nc */\nconst s = \"// d\"\n", []comment{{1, "// a"}, {3, "/* b"}, {4, "c */"}}},
		"JavaScript": {jsComments, "// a\nlet s = \"https://d\"; // b\n/**\n * c\n */\n", []comment{{1, "// a"}, {2, "b"}, {3, "/**"}, {4, "* c"}, {5, "*/"}}},
	} {
		if got := tc.find(tc.source); !slices.Equal(got, tc.want) {
			t.Errorf("%s: got %v, want %v", name, got, tc.want)
		}
	}
}

// sentences returns the sentences of the paragraphs and lists, without code, tables and headings.
func sentences(markdown string) (all []string) {
	markdown = regexp.MustCompile("(?s)```.*?```|<[a-z/][^>]*>").ReplaceAllString(markdown, "")
	markdown = regexp.MustCompile("`[^`]*`").ReplaceAllString(markdown, "X")
	markdown = regexp.MustCompile(`\]\([^)]*\)`).ReplaceAllString(markdown, "]")
	end := regexp.MustCompile(`[.!?:;]["*]* +([A-Z\[*])`)
	for _, paragraph := range regexp.MustCompile(`\n\s*\n|\n\s*(?:[-*|#]|\d+\. )`).Split("\n"+markdown, -1) {
		if strings.Contains(paragraph, " | ") || strings.HasPrefix(paragraph, "#") {
			continue
		}
		text := strings.Join(strings.Fields(paragraph), " ")
		all = append(all, strings.Split(end.ReplaceAllString(text, ".\n$1"), "\n")...)
	}
	return all
}

func TestREADME_Length_OneScreenPerReader(t *testing.T) {
	t.Parallel()
	if n := strings.Count(read(t, "../README.md"), "\n"); n > 120 {
		t.Errorf("README.md has %d lines, want at most 120: put details into a guide", n)
	}
}

func TestIndex_Guides_AllListed(t *testing.T) {
	t.Parallel()
	index := read(t, "README.md")
	for path := range documents(t) {
		if filepath.Dir(path) == "." && path != "README.md" && !strings.Contains(index, "]("+path+")") {
			t.Errorf("docs/README.md does not list %s", path)
		}
	}
}
