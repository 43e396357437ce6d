package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/anyframe-relay/relay/cmd/relay/internal/sitefile"
	"github.com/anyframe-relay/relay/relay"
)

// maxSiteFile limits the size of the sites file. A thousand sites take a few hundred KiB.
const maxSiteFile = 16 << 20

// wrongFile is an error with all problems of the sites file, formatted for display.
type wrongFile struct{ lines []string }

func (e *wrongFile) Error() string { return strings.Join(e.lines, "\n") }

// places returns err without the excerpts of the file: one line per problem.
func places(err error) error {
	if wrong, ok := errors.AsType[*wrongFile](err); ok {
		return &wrongFile{slices.DeleteFunc(slices.Clone(wrong.lines), func(line string) bool { return strings.HasPrefix(line, " ") })}
	}
	return err
}

// readSites adds the sites of the file in RELAY_CONFIG, if any, to the settings. It
// returns all problems of the file at once, as a [*wrongFile].
func (e environment) readSites(s *settings) error {
	s.relay.Sites = nil
	if s.config == "" {
		return nil
	}
	file, err := os.Open(s.config)
	var source []byte
	if err == nil {
		source, err = io.ReadAll(io.LimitReader(file, maxSiteFile+1))
		_ = file.Close() // it was only read
	}
	switch {
	case err != nil:
		what := "the sites file"
		if v, _, _ := e.get("RELAY_CONFIG"); v == s.config { // otherwise an argument names it
			what = "the file that RELAY_CONFIG names"
		}
		return &wrongFile{[]string{fmt.Sprintf("%s: cannot read %s: %v", s.config, what, errors.Unwrap(err))}}
	case len(source) > maxSiteFile:
		return &wrongFile{[]string{fmt.Sprintf("%s: is larger than %d MiB", s.config, maxSiteFile>>20)}}
	}
	sites, wrong := sitefile.Parse(source, siteKeys())
	for _, site := range sites {
		s.relay.Sites = append(s.relay.Sites, relay.Site{Name: site.Name})
	}
	common := problems(s.relay.Validate()) // already reported for the environment
	for i, site := range sites {
		own, more := e.site(s, site, common)
		wrong = append(wrong, more...)
		s.relay.Sites[i].Config = own
	}
	if len(wrong) > 0 {
		return &wrongFile{sitefile.Describe(s.config, source, wrong)}
	}
	return nil
}

// site returns the settings of a site: those of the default site, overridden by the file.
// It returns all problems that are not in common.
func (e environment) site(s *settings, site sitefile.Site, common []string) (relay.Config, []sitefile.Problem) {
	own := settings{relay: s.relay.ForSite()}
	var wrong []sitefile.Problem
	refused := map[string]bool{} // settings with a problem
	for _, set := range table() {
		v, ok := site.Values[set.key()]
		if !ok || !set.scope.site {
			continue
		}
		if err := e.readValue(&own, set, v); err != nil {
			wrong = append(wrong, sitefile.Problem{Place: v.Place, Text: inFile(set.name + " " + err.Error()), Secret: set.scope.secret})
			refused[set.name] = true
		}
	}
	for _, line := range problems(own.relay.ValidateSite(&s.relay)) {
		name := variable.FindString(line)
		if !refused[name] && !slices.Contains(common, line) {
			text := inFile(ofVariable(site, name, line))
			if strings.HasPrefix(line, name+" is not set") { // a site inherits it from the environment
				text = strings.Replace(text, " is not set", " is not set, nor is "+name, 1)
			}
			wrong = append(wrong, sitefile.Problem{Place: placeOf(site, name, line), Text: text})
		}
	}
	return own.relay, wrong
}

// ofVariable adds to a problem with a secret which variable holds it, since the file has
// only the variable's name.
func ofVariable(site sitefile.Site, name, line string) string {
	for _, set := range table() {
		if v, ok := site.Values[set.key()]; ok && set.name == name && set.scope.secret && sitefile.PlainName(v.Scalar) {
			return strings.Replace(line, name, name+" (the value of "+v.Scalar+")", 1)
		}
	}
	return line
}

// placeOf returns the position in the file of the setting that the problem in line is about.
func placeOf(site sitefile.Site, name, line string) sitefile.Place {
	for _, set := range table() {
		v, ok := site.Values[set.key()]
		if !ok || set.name != name || !set.scope.site {
			continue
		}
		for _, item := range v.Items {
			if strings.Contains(line, strconv.Quote(item.Scalar)) {
				return item.Place
			}
		}
		return v.Place
	}
	return site.Place
}

// readValue parses one value of a site in the same way as one from the environment.
func (e environment) readValue(own *settings, set setting, v sitefile.Value) error {
	value := v.Scalar
	switch {
	case set.scope.secret:
		name := v.Scalar
		if !variableName.MatchString(name) || secretPrefix.MatchString(name) {
			return errors.New("must be the name of an environment variable, not the secret itself")
		}
		if value, _, _ = e.get(name); value == "" {
			if !sitefile.PlainName(name) { // it may be the secret
				name = "a variable"
			}
			return fmt.Errorf("names %s, which is not set in the environment", name)
		}
	case v.IsList:
		all := make([]string, len(v.Items))
		for i, item := range v.Items {
			if all[i] = item.Scalar; strings.Contains(item.Scalar, set.scope.parts) {
				return fmt.Errorf("cannot have a value that contains %q", set.scope.parts)
			}
		}
		value = strings.Join(all, set.scope.parts)
	}
	if err := checkValue(set.name, value); err != nil {
		return err
	}
	return set.read(own, value)
}

// Patterns of the names of variables that hold secrets, and of secrets that look like such a
// name.
var (
	variableName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)
	secretPrefix = regexp.MustCompile(`^(afm|whsec)_`)
)

// inFile replaces the names of settings in line with their keys in the sites file.
func inFile(line string) string {
	return anyVariable.ReplaceAllStringFunc(line, func(name string) string {
		for _, s := range table() {
			if s.name == name && s.scope.site {
				return s.key()
			}
		}
		return name
	})
}

var anyVariable = regexp.MustCompile(`\b[A-Z]+(_[A-Z]+)+\b`)

// config implements relay config, which checks the sites file or prints its schema.
func config(args []string, lookup func(string) (string, bool), stdout, stderr io.Writer) int {
	const usage = "usage: relay config check [FILE] to check the sites file, or relay config schema to print its JSON schema"
	switch {
	case len(args) > 0 && wantsHelp(args):
		fmt.Fprintln(stdout, usage)
		return exitOK
	case len(args) == 1 && args[0] == "schema":
		enc := json.NewEncoder(stdout)
		enc.SetIndent("", "  ")
		enc.SetEscapeHTML(false)
		_ = enc.Encode(schema()) // only strings, so only writing can fail
		return exitOK
	case len(args) == 0, args[0] != "check", len(args) > 2:
		fmt.Fprintln(stderr, "relay:", usage)
		return exitUsage
	}
	s := defaults()
	env, envErr := readEnvironment(lookup, envFile)
	_ = env.read(s) // other settings are not checked here
	if len(args) == 2 {
		s.config = args[1]
	}
	if s.config == "" {
		fmt.Fprintln(stderr, "relay: config check needs a file: pass its path, or set RELAY_CONFIG")
		return exitUsage
	}
	if err := errors.Join(envErr, env.readSites(s)); err != nil {
		fmt.Fprintln(stderr, err)
		return exitUsage
	}
	fmt.Fprintf(stdout, "%s: %d sites, no problems\n", s.config, len(s.relay.Sites))
	return exitOK
}
