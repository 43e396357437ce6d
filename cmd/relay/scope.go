package main

import (
	"slices"
	"strings"

	"github.com/anyframe-relay/relay/cmd/relay/internal/sitefile"
)

// scope says of a setting whether each site has its own, and how that is written in the
// file of sites. The zero scope is that of the whole process.
type scope struct {
	site  bool
	kind  sitefile.Kind
	parts string   // what separates the values of a list in the environment; "" for others
	words []string // the only values there are; nil when there are others
	// secret is not in the file but in a variable of the environment that the file names.
	secret bool
}

// global is the scope of what all sites share: listeners, the store, proxies, timeouts.
var global = scope{}

// The kinds of values that a site can have, for [perSite].
var (
	text    = scope{kind: sitefile.Text}
	integer = scope{kind: sitefile.Amount} // also sizes, and off
	secret  = scope{kind: sitefile.Text, secret: true}
)

// listOf is a list, whose values have sep between them in the environment.
func listOf(sep string) scope { return scope{kind: sitefile.List, parts: sep} }

// oneOf is one of a few words.
func oneOf(words ...string) scope { return scope{kind: sitefile.Text, words: words} }

// perSite is the scope of what each site can have of its own.
func perSite(kind scope) scope {
	kind.site = true
	return kind
}

// key is what a setting is called in the file of sites.
func (s *setting) key() string {
	name := strings.TrimPrefix(strings.TrimPrefix(s.name, "RELAY_"), "ANYFRAME_")
	if s.scope.secret {
		name += "_ENV"
	}
	return strings.ToLower(name)
}

// siteKeys are the keys that a site may have, and those that may be mistaken for one.
func siteKeys() map[string]sitefile.Key {
	keys := map[string]sitefile.Key{}
	for _, s := range table() {
		key := s.key()
		switch {
		case !s.scope.site:
			keys[key] = sitefile.Key{Wrong: "is the same for all sites: set " + s.name + " in the environment"}
		case s.scope.secret:
			keys[key] = sitefile.Key{Kind: sitefile.Text}
			keys[strings.TrimSuffix(key, "_env")] = sitefile.Key{Wrong: "is secret and not for this file: put it into a variable of the environment, and name that with " + key}
		default:
			keys[key] = sitefile.Key{Kind: s.scope.kind}
		}
	}
	return keys
}

// schema is the JSON schema of the file of sites, for editors.
func schema() map[string]any {
	site := map[string]any{}
	for _, s := range table() {
		if !s.scope.site {
			continue
		}
		about := map[string]any{"description": s.meaning}
		switch {
		case s.scope.secret:
			about["description"] = "the environment variable that has it: " + s.meaning
			about["type"], about["pattern"] = "string", "^[A-Za-z_][A-Za-z0-9_]*$"
		case s.scope.words != nil:
			about["enum"] = slices.Clone(s.scope.words)
		case s.scope.kind == sitefile.Amount:
			about["type"] = []string{"integer", "string"}
		case s.scope.kind == sitefile.List:
			about["type"], about["items"] = []string{"array", "string"}, map[string]any{"type": "string"}
		default:
			about["type"] = "string"
		}
		site[s.key()] = about
	}
	return map[string]any{
		"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "Sites of AnyFrame Relay",
		"description": "The file that RELAY_CONFIG names: each site is an agent with routes, visitors and settings of its own. What is not set is as in the environment.",
		"type":        []string{"object", "null"}, "additionalProperties": false,
		"properties": map[string]any{"sites": map[string]any{
			"type": []string{"object", "null"}, "additionalProperties": map[string]any{"$ref": "#/$defs/site"},
			"propertyNames": map[string]any{"pattern": "^[a-z0-9-]{1,32}$", "not": map[string]any{"const": sitefile.Reserved}},
		}},
		"$defs": map[string]any{"site": map[string]any{
			"type": []string{"object", "null"}, "additionalProperties": false, "properties": site,
		}},
	}
}
