package relay_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"maps"
	"mime"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/go-chi/chi/v5/middleware"
	"github.com/santhosh-tekuri/jsonschema/v6"
	"go.yaml.in/yaml/v3"
)

// description is docs/openapi.yaml, and what the tests have seen of it. Every response
// and every event of every relay in these tests is checked against it.
type description struct {
	doc     any
	schemas *jsonschema.Compiler
	paths   map[string]*regexp.Regexp

	mu       sync.Mutex
	compiled map[string]*jsonschema.Schema // by path in the document
	expected map[string]bool               // what it documents
	seen     map[string]int
	wrong    map[string]bool
}

// enough is how many bodies of a kind are checked, because a soak produces thousands.
const enough = 50

// documented reads the description.
var documented = sync.OnceValue(func() *description {
	d := &description{
		schemas: jsonschema.NewCompiler(), paths: map[string]*regexp.Regexp{}, compiled: map[string]*jsonschema.Schema{},
		expected: map[string]bool{}, seen: map[string]int{}, wrong: map[string]bool{},
	}
	if err := d.read("../docs/openapi.yaml"); err != nil {
		panic(err)
	}
	for template := range d.at("paths") {
		pattern := regexp.MustCompile(`\\\{\w+\\\}`).ReplaceAllString(regexp.QuoteMeta(template), "[^/]+")
		d.paths[template] = regexp.MustCompile("^" + pattern + "$")
		for method := range d.at("paths", template) {
			for status := range d.at("paths", template, method, "responses") {
				d.expect(template, method, status)
			}
		}
	}
	for name := range d.at("components", "schemas") {
		if kind, ok := strings.CutSuffix(name, "Event"); ok {
			d.expected["event "+kind] = true
		}
	}
	return d
})

func (d *description) read(path string) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	var doc any
	if err = yaml.Unmarshal(text, &doc); err != nil {
		return err
	}
	if text, err = json.Marshal(doc); err != nil { // the validator accepts JSON's number types only
		return err
	}
	if d.doc, err = jsonschema.UnmarshalJSON(bytes.NewReader(text)); err != nil {
		return err
	}
	d.schemas.AssertFormat()
	return d.schemas.AddResource("openapi.yaml", d.doc)
}

// at returns the object at a path in the document, resolving $ref.
func (d *description) at(place ...string) map[string]any {
	here, _ := d.doc.(map[string]any)
	for _, name := range place {
		here, _ = here[name].(map[string]any)
		if ref, ok := here["$ref"].(string); ok && len(here) == 1 {
			here = d.at(strings.Split(strings.TrimPrefix(ref, "#/"), "/")...)
		}
	}
	return here
}

// expect records a documented response; for a problem, one per code.
func (d *description) expect(template, method, status string) {
	key := strings.ToUpper(method) + " " + template + " " + status
	if status == "default" { // the same for all
		key = status
	}
	types := d.at("paths", template, method, "responses", status, "content")
	problem := d.at("paths", template, method, "responses", status, "content", "application/problem+json", "schema")
	for _, code := range codesOf(problem) {
		d.expected[key+" "+code] = true
	}
	if len(types) == 0 || problem == nil {
		d.expected[key] = true
	}
}

// codesOf returns the codes that a schema of problems allows.
func codesOf(schema map[string]any) (codes []string) {
	properties, _ := schema["properties"].(map[string]any)
	code, _ := properties["code"].(map[string]any)
	values, _ := code["enum"].([]any)
	for _, v := range values {
		codes = append(codes, fmt.Sprint(v))
	}
	return codes
}

// watch checks all responses of a handler against the description.
func (d *description) watch(base string, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ww := middleware.NewWrapResponseWriter(w, r.ProtoMajor)
		body := &jsonBody{header: w.Header()}
		ww.Tee(body)
		next.ServeHTTP(ww, r)
		if path, ok := strings.CutPrefix(r.URL.Path, base); ok && ww.Status() != 0 && r.Method != http.MethodOptions {
			if ww.Status() != http.StatusNotFound { // otherwise there may be no such site
				path = sitePath.ReplaceAllString(path, "")
			}
			d.answered(r.Method, path, fmt.Sprint(ww.Status()), w.Header(), body.Bytes())
		}
	})
}

// sitePath matches the prefix of a site's routes, which are the same for all sites.
var sitePath = regexp.MustCompile(`^/s/[^/]+`)

// jsonBody keeps the written body if it is JSON.
type jsonBody struct {
	header http.Header
	bytes.Buffer
}

func (b *jsonBody) Write(p []byte) (int, error) {
	if isJSON(b.header) {
		return b.Buffer.Write(p)
	}
	return len(p), nil
}

func isJSON(h http.Header) bool {
	kind, _, _ := mime.ParseMediaType(h.Get("Content-Type"))
	return strings.HasSuffix(kind, "json")
}

func (d *description) answered(method, path, status string, header http.Header, body []byte) {
	template := ""
	for t, pattern := range d.paths {
		if pattern.MatchString(path) {
			template = t
		}
	}
	op := strings.ToLower(method)
	if method == http.MethodHead && d.at("paths", template, op) == nil {
		op = "get"
	}
	if d.at("paths", template, op) == nil || status == "405" {
		if status[0] == '2' {
			d.complain("%s %s is answered %s and not described", method, path, status)
		}
		return // there is no route for this path and method
	}
	kind, _, _ := mime.ParseMediaType(header.Get("Content-Type"))
	var problem struct{ Code string }
	if kind == "application/problem+json" {
		_ = json.Unmarshal(body, &problem)
	}
	key := strings.ToUpper(op) + " " + template + " " + status
	if d.at("paths", template, op, "responses", status) == nil && status[0] != '2' {
		if status == "404" && problem.Code == "not_found" {
			return // or there is no default site
		}
		key, status = "default", "default" // as for any other
	}
	if problem.Code != "" {
		key += " " + problem.Code
	}
	place := []string{"paths", template, op, "responses", status, "content"}
	if types := d.at(place...); kind != "" && types != nil && types[kind] == nil {
		d.complain("%s: %s is not described", key, kind)
	}
	if n := d.count(key); method == http.MethodHead || n > enough || !isJSON(header) {
		return
	}
	d.check(key, body, append(place, kind, "schema")...)
}

// event checks one event of a stream against the description.
func (d *description) event(kind, data string) {
	name := ""
	for word := range strings.SplitSeq(kind, "_") {
		name += strings.ToUpper(word[:1]) + word[1:]
	}
	if key := "event " + name; d.count(key) <= enough {
		d.check(key, []byte(data), "components", "schemas", name+"Event")
	}
}

func (d *description) count(key string) int {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.seen[key]++
	return d.seen[key]
}

// check checks JSON against the schema at a path.
func (d *description) check(key string, body []byte, place ...string) {
	if d.at(place...) == nil {
		return // reported by verdict
	}
	value, err := jsonschema.UnmarshalJSON(bytes.NewReader(body))
	if err == nil {
		var schema *jsonschema.Schema
		if schema, err = d.schema(place); err == nil {
			err = schema.Validate(value)
		}
	}
	if err != nil {
		d.complain("%s: %.300s: %v", key, body, err)
	}
}

func (d *description) schema(place []string) (*jsonschema.Schema, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	resolved := d.pointer(place)
	if d.compiled[resolved] == nil {
		schema, err := d.schemas.Compile("openapi.yaml#" + resolved)
		if err != nil {
			return nil, err
		}
		d.compiled[resolved] = schema
	}
	return d.compiled[resolved], nil
}

// pointer returns the JSON pointer to a path, resolving every $ref but the last, which is
// part of the schema.
func (d *description) pointer(place []string) string {
	pointer, here := "", d.doc
	for i, name := range place {
		m, _ := here.(map[string]any)
		here = m[name]
		pointer += "/" + strings.NewReplacer("~", "~0", "/", "~1").Replace(name)
		if m, _ := here.(map[string]any); i < len(place)-1 && len(m) == 1 && m["$ref"] != nil {
			pointer = strings.TrimPrefix(fmt.Sprint(m["$ref"]), "#")
			here = d.at(strings.Split(pointer[1:], "/")...)
		}
	}
	return pointer
}

func (d *description) complain(format string, args ...any) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.wrong[fmt.Sprintf(format, args...)] = true
}

// verdict returns all differences between the relay and its description. Documented
// behavior that was never seen counts only if all tests have run.
func (d *description) verdict() []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	out := slices.Collect(maps.Keys(d.wrong))
	for key := range d.seen {
		if !d.expected[key] {
			out = append(out, key+" is not described")
		}
	}
	all := !testing.Short()
	for _, f := range []string{"test.run", "test.skip"} {
		all = all && flag.Lookup(f).Value.String() == ""
	}
	for key := range d.expected {
		_, elsewhere := strings.CutPrefix(key, "default ")
		elsewhere = elsewhere && slices.ContainsFunc(slices.Collect(maps.Keys(d.seen)), func(k string) bool {
			return strings.HasSuffix(k, strings.TrimPrefix(key, "default"))
		})
		if all && d.seen[key] == 0 && !elsewhere {
			out = append(out, key+" is described and was never seen")
		}
	}
	slices.Sort(out)
	return out
}

// told writes the verdict and reports whether there were differences.
func (d *description) told(w io.Writer) bool {
	verdict := d.verdict()
	for _, line := range verdict {
		fmt.Fprintln(w, "docs/openapi.yaml:", line)
	}
	return len(verdict) > 0
}
