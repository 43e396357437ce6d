package sitefile

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// Place is a position in the file, counted from 1. The zero Place is the whole file.
type Place struct{ Line, Column int }

// Problem is something wrong with the file, at a place of it.
type Problem struct {
	Place
	Text string
}

// Describe writes problems for a person, in the order of their places: a line each with the
// file's name, line and column, and below it the line of the file with a caret. Values
// are left out of that line wherever they may be secret.
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

// excerpt is the line of a problem and the caret below it.
func excerpt(line string, p Problem) []string {
	line = strings.TrimRight(printable(line), " ")
	shown := public(line)
	before := min(max(p.Column-1, 0), len([]rune(line)))
	number := fmt.Sprintf("%4d | ", p.Line)
	return []string{number + shown, strings.Repeat(" ", len(number)-2) + "| " + strings.Repeat(" ", before) + "^"}
}

// printable replaces what a terminal would act on.
func printable(line string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r == '\ufeff' || r >= 0x202a && r <= 0x202e || r >= 0x2066 && r <= 0x2069 {
			return ' '
		}
		return r
	}, line)
}

// keyed is a line with a key, which is at most as long as any of ours.
var keyed = regexp.MustCompile(`^( *(?:- *)?)([a-z0-9_-]{1,40})( *:)( +.*|)$`)

// harmless are lines whose value is no secret: those of a name that does not sound like one.
var secretive = regexp.MustCompile(`(?i)key|secret|token|passw|credential|afm_|-----|whsec`)

// public is a line without what may be secret: the value of a key that sounds like one,
// unless it only names a variable, and all of a line without a key.
func public(line string) string {
	m := keyed.FindStringSubmatch(line)
	switch {
	case m == nil && secretive.MatchString(line), m == nil && len(line) > 60:
		return "…"
	case m == nil:
		return line
	case secretive.MatchString(strings.TrimSuffix(m[2], "_env")) && !strings.HasSuffix(m[2], "_env"), secretive.MatchString(m[4]) && !variable.MatchString(m[4]):
		return m[1] + m[2] + m[3] + " …"
	}
	return line
}

// variable is the name of an environment variable.
var variable = regexp.MustCompile(`^ *[A-Z][A-Z0-9_]{0,63} *$`)
