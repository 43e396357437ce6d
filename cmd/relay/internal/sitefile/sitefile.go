package sitefile

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"

	yaml "github.com/goccy/go-yaml"
)

// Kind is the syntax of a value.
type Kind int

// The kinds of values.
const (
	Text   Kind = iota // a string
	Amount             // a whole number, or a string such as 4MiB
	List               // a string, or a list of strings
)

// Key is a key that a site may have.
type Key struct {
	Kind Kind
	// Wrong is set for a key that is not valid here. It says what to write instead.
	Wrong string
}

// Value is a value as written in the file.
type Value struct {
	Place  // of the value
	Key    Place
	Scalar string
	Items  []Item // of a list; nil for anything else
	IsList bool
}

// Item is one value of a list.
type Item struct {
	Place
	Scalar string
}

// Site holds the values of one site.
type Site struct {
	Place
	Name   string
	Values map[string]Value
}

// Reserved is the name of the default site, which the environment configures.
const Reserved = "default"

var namePattern = regexp.MustCompile(`^[a-z0-9-]{1,32}$`)

// ValidName reports whether a site may have this name.
func ValidName(name string) bool { return namePattern.MatchString(name) && name != Reserved }

// Parse parses the file. Keys are the keys that a site may have. Parse returns the sites
// in file order, as far as they could be read, and all problems.
func Parse(source []byte, keys map[string]Key) ([]Site, []Problem) {
	r := reader{keys: keys}
	file, err := parser.ParseBytes(source, 0, parser.AllowDuplicateMapKey())
	if err != nil {
		return nil, []Problem{syntax(err)}
	}
	docs := slices.DeleteFunc(file.Docs, func(d *ast.DocumentNode) bool { return d.Body == nil || d.Body.Type() == ast.NullType })
	switch len(docs) {
	case 0:
		return nil, nil
	case 1:
	default:
		r.wrong(docs[1].Body, "a second YAML document; the file must have only one")
	}
	r.pairs(docs[0].Body, "the file", func(name string, pair *ast.MappingValueNode) {
		if name != "sites" {
			r.wrong(pair.Key, "unknown key %q; the only key here is sites", name)
			return
		}
		if isNull(pair.Value) {
			return
		}
		r.pairs(pair.Value, "sites", r.site)
	})
	return r.sites, r.problems
}

func syntax(err error) Problem {
	if broken, ok := errors.AsType[*yaml.SyntaxError](err); ok && broken.Token != nil {
		return Problem{Place: placeOf(broken.Token), Text: "is not YAML: " + broken.Message}
	}
	return Problem{Text: "is not YAML"}
}

type reader struct {
	keys     map[string]Key
	sites    []Site
	problems []Problem
}

func placeOf(t *token.Token) Place {
	if t == nil || t.Position == nil {
		return Place{}
	}
	return Place{t.Position.Line, t.Position.Column}
}

// at returns the position where a node begins.
func at(n ast.Node) Place {
	switch n := n.(type) {
	case *ast.MappingNode:
		if len(n.Values) > 0 && !n.IsFlowStyle {
			return at(n.Values[0])
		}
	case *ast.MappingValueNode:
		return at(n.Key)
	}
	return placeOf(n.GetToken())
}

func (r *reader) wrong(n ast.Node, format string, args ...any) {
	r.problems = append(r.problems, Problem{Place: at(n), Text: fmt.Sprintf(format, args...)})
}

// pairs calls do for each pair of a mapping. It reports keys that are duplicates or not
// plain text instead.
func (r *reader) pairs(n ast.Node, what string, do func(name string, pair *ast.MappingValueNode)) {
	var all []*ast.MappingValueNode
	switch n := n.(type) {
	case *ast.MappingNode:
		all = n.Values
	case *ast.MappingValueNode:
		all = []*ast.MappingValueNode{n}
	default:
		if !r.fancy(n) {
			r.wrong(n, "%s must be a mapping: lines of the form name: value", what)
		}
		return
	}
	seen := map[string]Place{}
	for _, pair := range all {
		key, ok := pair.Key.(ast.Node)
		if _, merge := key.(*ast.MergeKeyNode); merge {
			r.wrong(key, "merge keys are not supported: set shared values in the environment")
			continue
		}
		name, isText := scalar(key)
		if !ok || !isText {
			r.wrong(pair.Key, "a key must be plain text")
			continue
		}
		if first, twice := seen[name]; twice {
			r.wrong(pair.Key, "duplicate key %q, first used in line %d", name, first.Line)
			continue
		}
		seen[name] = at(pair.Key)
		do(name, pair)
	}
}

func (r *reader) site(name string, pair *ast.MappingValueNode) {
	switch {
	case name == Reserved:
		r.wrong(pair.Key, "%q is reserved for the site that the environment configures: choose another name", name)
		return
	case !ValidName(name):
		r.wrong(pair.Key, "a site name must be 1 to 32 of a-z, 0-9 and -")
		return
	}
	s := Site{Place: at(pair.Key), Name: name, Values: map[string]Value{}}
	if !isNull(pair.Value) {
		r.pairs(pair.Value, "site "+name, func(key string, pair *ast.MappingValueNode) {
			if v, ok := r.value(key, pair); ok {
				s.Values[key] = v
			}
		})
	}
	r.sites = append(r.sites, s)
}

// value reads the value of a key of a site.
func (r *reader) value(key string, pair *ast.MappingValueNode) (v Value, ok bool) {
	known, ok := r.keys[key]
	switch {
	case !ok:
		text := fmt.Sprintf("unknown key %q", key)
		if near := r.nearest(key); near != "" {
			text += fmt.Sprintf("; did you mean %q?", near)
		}
		r.wrong(pair.Key, "%s", text)
		return v, false
	case known.Wrong != "":
		r.wrong(pair.Key, "%s %s", key, known.Wrong)
		return v, false
	case isNull(pair.Value):
		r.wrong(pair.Key, `%s has no value; write "" for an empty value`, key)
		return v, false
	}
	v = Value{Place: at(pair.Value), Key: at(pair.Key)}
	if list, isList := pair.Value.(*ast.SequenceNode); isList && known.Kind == List {
		v.IsList = true
		for _, n := range list.Values {
			text, ok := r.scalar(key, n, Text)
			if !ok {
				return v, false
			}
			v.Items = append(v.Items, Item{at(n), text})
		}
		return v, true
	}
	v.Scalar, ok = r.scalar(key, pair.Value, known.Kind)
	return v, ok
}

// scalar reads one value of a kind. It rejects values that YAML reads as another type,
// such as true.
func (r *reader) scalar(key string, n ast.Node, kind Kind) (text string, ok bool) {
	if text, ok = scalar(n); ok {
		return text, true
	}
	switch n := n.(type) {
	case *ast.IntegerNode:
		if kind == Amount {
			return n.GetToken().Value, true
		}
	case *ast.SequenceNode:
		r.wrong(n, "%s must be a single value, not a list", key)
		return "", false
	case *ast.MappingNode, *ast.MappingValueNode:
		r.wrong(n, "%s must be a single value, not a mapping", key)
		return "", false
	}
	if !r.fancy(n) {
		want := "text: put it in quotation marks"
		if kind == Amount {
			want = "a whole number, or text"
		}
		r.wrong(n, "%s must be %s", key, want)
	}
	return "", false
}

// fancy reports YAML features that this file does not support.
func (r *reader) fancy(n ast.Node) bool {
	switch n.(type) {
	case *ast.AnchorNode, *ast.AliasNode:
		r.wrong(n, "anchors and aliases are not supported: set shared values in the environment")
	case *ast.TagNode:
		r.wrong(n, "tags are not supported")
	default:
		return false
	}
	return true
}

// scalar returns the text of a string.
func scalar(n ast.Node) (string, bool) {
	switch n := n.(type) {
	case *ast.StringNode:
		return n.Value, true
	case *ast.LiteralNode:
		return strings.TrimSuffix(n.Value.Value, "\n"), true
	}
	return "", false
}

func isNull(n ast.Node) bool { return n == nil || n.Type() == ast.NullType }

// nearest returns the valid key that is closest to a misspelled one, or "".
func (r *reader) nearest(key string) (best string) {
	least := 3 // a key that needs more edits is a different word
	for known, k := range r.keys {
		if k.Wrong != "" {
			continue
		}
		if d := distance(key, known); d < least || d == least && best != "" && known < best {
			best, least = known, d
		}
	}
	return best
}

// distance returns the Levenshtein distance between a and b.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
