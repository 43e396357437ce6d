package main

import (
	"slices"
	"strings"

	"github.com/anyframe-relay/relay/cmd/relay/internal/sitefile"
)

// scope says whether a site can override a setting, and the setting's syntax in the sites
// file. The zero scope is a setting of the whole process.
type scope struct {
	site  bool
	kind  sitefile.Kind
	parts string   // the separator of a list in the environment; "" if it is not a list
	words []string // the valid values of an enumeration; nil for other kinds
	// secret marks a value that must be in an environment variable; the file has the
	// variable's name.
	secret bool
}

// global is the scope of settings that all sites share: listeners, the store, proxies, timeouts.
var global = scope{}

// Kinds of values for [perSite].
var (
	text    = scope{kind: sitefile.Text}
	integer = scope{kind: sitefile.Amount} // also sizes and off
	secret  = scope{kind: sitefile.Text, secret: true}
)

// listOf is a list, separated by sep in the environment.
func listOf(sep string) scope { return scope{kind: sitefile.List, parts: sep} }

// oneOf is an enumeration of words.
func oneOf(words ...string) scope { return scope{kind: sitefile.Text, words: words} }

// perSite is the scope of a setting that a site can override.
func perSite(kind scope) scope {
	kind.site = true
	return kind
}

// key returns the setting's key in the sites file.
func (s *setting) key() string {
	name := strings.TrimPrefix(strings.TrimPrefix(s.name, "RELAY_"), "ANYFRAME_")
	if s.scope.secret {
		name += "_ENV"
	}
	return strings.ToLower(name)
}

// siteKeys returns the keys that a site may have, and similar keys that get an explanation.
func siteKeys() map[string]sitefile.Key {
	keys := map[string]sitefile.Key{}
	for _, s := range table() {
		key := s.key()
		switch {
		case !s.scope.site:
			keys[key] = sitefile.Key{Wrong: "applies to all sites: set " + s.name + " in the environment"}
		case s.scope.secret:
			keys[key] = sitefile.Key{Kind: sitefile.Text}
			keys[strings.TrimSuffix(key, "_env")] = sitefile.Key{Wrong: "is secret and must not be in this file: put it in an environment variable, and set " + key + " to the variable's name"}
		default:
			keys[key] = sitefile.Key{Kind: s.scope.kind}
		}
	}
	return keys
}

// schema returns the JSON schema of the sites file, for editors.
func schema() map[string]any {
	site := map[string]any{}
	for _, s := range table() {
		if !s.scope.site {
			continue
		}
		about := map[string]any{"description": s.meaning}
		switch {
		case s.scope.secret:
			about["description"] = "environment variable that holds the " + s.meaning
			about["type"], about["pattern"], about["not"] = "string", variableName.String(), map[string]any{"pattern": secretPrefix.String()}
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
		"description": "The file named by RELAY_CONFIG. Each site is an agent with its own routes, visitors and settings. Settings that are not in the file are inherited from the environment.",
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
