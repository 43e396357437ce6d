package sitefile

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// Place is a position in the file, counted from 1. The zero Place means the whole file.
type Place struct{ Line, Column int }

// Problem is an error in the file, at a position.
type Problem struct {
	Place
	Text string
	// Secret marks a problem with a value that names a secret, and that may by mistake be
	// the secret itself.
	Secret bool
}

// Describe formats problems for display, ordered by position. Each problem is one line
// with the file's name, line and column, followed by the line of the file and a caret.
// Values that may be secret are omitted from that line.
func Describe(path string, source []byte, all []Problem) []string {
	all = slices.Clone(all)
	slices.SortStableFunc(all, func(a, b Problem) int {
		if a.Line != b.Line {
			return a.Line - b.Line
		}
		return a.Column - b.Column
	})
	lines := strings.Split(string(source), "\n")
	var out []string
	for _, p := range all {
		if p.Line == 0 {
			out = append(out, path+": "+p.Text)
			continue
		}
		out = append(out, fmt.Sprintf("%s:%d:%d: %s", path, p.Line, p.Column, p.Text))
		if p.Line <= len(lines) {
			out = append(out, excerpt(lines[p.Line-1], p)...)
		}
	}
	return out
}

// excerpt returns the line with the problem and a line with a caret below it.
func excerpt(line string, p Problem) []string {
	line = strings.TrimRight(printable(line), " ")
	shown := public(line)
	if p.Secret && !keyed.MatchString(line) { // the value is in a line of its own
		shown = "…"
	}
	before := min(max(p.Column-1, 0), len([]rune(line)))
	number := fmt.Sprintf("%4d | ", p.Line)
	return []string{number + shown, strings.Repeat(" ", len(number)-2) + "| " + strings.Repeat(" ", before) + "^"}
}

// printable replaces characters that a terminal would interpret with spaces.
func printable(line string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r == '\ufeff' || r >= 0x202a && r <= 0x202e || r >= 0x2066 && r <= 0x2069 {
			return ' '
		}
		return r
	}, line)
}

// keyed matches a line with a key of at most 40 characters, which no valid key exceeds.
var keyed = regexp.MustCompile(`^( *(?:- *)?)([a-z0-9_-]{1,40})( *:)( +.*|)$`)

// secretive matches text that suggests a secret. The URL of a webhook often is one.
var secretive = regexp.MustCompile(`(?i)key|secret|token|passw|credential|webhook_url|afm_|-----|whsec`)

// public returns a line without values that may be secret. It omits the value of a key
// that suggests a secret, and that of a key that ends in _env unless it is certainly a
// variable's name. It omits a line without a key completely if the line suggests a secret
// or is longer than 60 bytes.
func public(line string) string {
	m := keyed.FindStringSubmatch(line)
	switch {
	case m == nil && secretive.MatchString(line), m == nil && len(line) > 60:
		return "…"
	case m == nil:
		return line
	}
	names := strings.HasSuffix(m[2], "_env")
	if !names && secretive.MatchString(m[2]) || (names || secretive.MatchString(m[4])) && m[4] != "" && !PlainName(strings.TrimSpace(m[4])) {
		return m[1] + m[2] + m[3] + " …"
	}
	return line
}

// PlainName reports whether text is written like the name of a variable, and not like a
// secret: only such text may be printed.
func PlainName(text string) bool { return plainName.MatchString(text) }

var plainName = regexp.MustCompile(`^[A-Z][A-Z0-9_]{0,63}$`)
