package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net"
	"os"
	"regexp"
	"slices"
	"strings"

	"github.com/joho/godotenv"

	"github.com/anyframe-relay/relay/relay"
)

// envFile is read in the working directory.
const envFile = ".env"

// environment is the source of settings: the process's environment, then .env for
// variables that are not set there.
type environment struct {
	process func(string) (string, bool)
	file    map[string]string
}

// readEnvironment reads the .env file at path, if it exists.
func readEnvironment(process func(string) (string, bool), path string) (environment, error) {
	e := environment{process: process}
	content, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return e, nil
	}
	if err != nil {
		return e, fmt.Errorf("cannot read .env: %w", err)
	}
	if err = checkFile(string(content)); err != nil {
		return e, err
	}
	e.file, err = godotenv.Unmarshal(strings.TrimPrefix(string(content), bom))
	if err != nil {
		return e, fmt.Errorf("cannot parse .env: syntax error near line %d", badLine(string(content)))
	}
	return e, checkExpansions(string(content))
}

// badLine returns the number of the first line that the parser rejects. The parser's own
// message would quote the line, which may contain a key.
func badLine(content string) int {
	lines := strings.SplitAfter(content, "\n")
	for n := range lines {
		if _, err := godotenv.Unmarshal(strings.Join(lines[:n+1], "")); err != nil {
			return n + 1
		}
	}
	return len(lines)
}

// get returns a setting, whether it is set, and whether it comes from .env. A variable
// that is set but empty counts as set, so that it can turn off a default.
func (e environment) get(name string) (value string, set, fromFile bool) {
	if v, ok := e.process(name); ok {
		return strings.TrimSpace(v), true, false
	}
	v, ok := e.file[name]
	return strings.TrimSpace(v), ok, ok
}

// read fills in the settings and returns all problems at once.
func (e environment) read(s *settings) error {
	var errs []error
	var keyFromFile bool
	for _, set := range table() {
		value, ok, fromFile := e.get(set.name)
		name := set.name
		if _, spoilt := e.process(bom + name); spoilt { // the first line of docker run --env-file
			errs = append(errs, fmt.Errorf("%s has a byte order mark (U+FEFF) before its name: save the file that sets it as UTF-8 without BOM", name))
			continue
		}
		if set.name == "ANYFRAME_API_KEY" {
			if value == "" {
				value, ok, fromFile = e.get("ANYFRAME_API_TOKEN")
				name += " (given as ANYFRAME_API_TOKEN)"
			}
			keyFromFile = fromFile
		}
		if set.name == "ANYFRAME_BASE_URL" && fromFile && !keyFromFile {
			continue // a stray .env must not send the key to another host
		}
		if !ok || (value == "" && set.name != "RELAY_ADMIN_ADDR") {
			continue
		}
		err := checkValue(set.name, value)
		if err == nil {
			err = set.read(s, value)
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("%s %w", name, err))
		}
	}
	if v, _, _ := e.get("RELAY_ADDR"); s.port != "" && v == "" {
		s.addr = ":" + s.port
	}
	for name, addr := range map[string]string{"RELAY_ADDR": s.addr, "RELAY_ADMIN_ADDR": s.admin} {
		if addr != "" && !listenable(addr) {
			errs = append(errs, errors.New(name+" "+needsPort))
		}
	}
	if host, _, err := net.SplitHostPort(s.admin); err == nil && len(s.relay.AdminTokens) == 0 && !loopbackHost(host) {
		if v, _, _ := e.get("RELAY_ADMIN_TOKEN"); v == "" { // otherwise its own error is reported
			errs = append(errs, fmt.Errorf("RELAY_ADMIN_TOKEN is required, because RELAY_ADMIN_ADDR %s is not on loopback: set it to name:token, with a token of 16 bytes or more (create one with openssl rand -hex 32)", s.admin))
		}
	}
	if levels[s.logLevel] == nil {
		errs = append(errs, errors.New("RELAY_LOG_LEVEL must be debug, info, warn or error"))
	}
	if s.traces = strings.ToLower(s.traces); s.traces != "" && levels[s.traces] == nil {
		errs = append(errs, errors.New("ANYFRAME_LOG_LEVEL must be debug, info, warn or error"))
	}
	if s.logStyle != "" && s.logStyle != "text" && s.logStyle != "json" {
		errs = append(errs, errors.New("RELAY_LOG_FORMAT must be text or json"))
	}
	return errors.Join(errs...)
}

const needsPort = "must be an address with a port from 0 to 65535, such as :8080 or 127.0.0.1:8080"

// listenable reports whether addr has a port, as a number or as the name of a service.
func listenable(addr string) bool {
	_, port, err := net.SplitHostPort(addr)
	if err != nil || port == "" {
		return false
	}
	_, err = net.DefaultResolver.LookupPort(context.Background(), "tcp", port) // asks no server
	return err == nil
}

// loopbackHost reports whether a listener on host can be reached only from this machine.
func loopbackHost(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// strangers returns the names in .env and in the process's environment (NAME=value) that
// look like settings but are not.
func (e environment) strangers(process []string) []string {
	names := slices.Collect(maps.Keys(e.file))
	for _, line := range process {
		name, _, _ := strings.Cut(line, "=")
		names = append(names, name)
	}
	slices.Sort(names)
	return slices.DeleteFunc(slices.Compact(names), func(name string) bool {
		return !strings.HasPrefix(name, "RELAY_") && !strings.HasPrefix(name, "ANYFRAME_") || name == "ANYFRAME_API_TOKEN" ||
			slices.ContainsFunc(table(), func(s setting) bool { return s.name == name })
	})
}

// problems returns errs as lines, at most one for each setting and without duplicates.
func problems(errs ...error) []string {
	var out []string
	for _, err := range errs {
		if err == nil {
			continue
		}
		for line := range strings.SplitSeq(err.Error(), "\n") {
			name := variable.FindString(line)
			known := false
			for _, have := range out {
				known = known || have == line || (name != "" && strings.HasPrefix(have, name+" "))
			}
			if !known {
				out = append(out, line)
			}
		}
	}
	return out
}

var variable = regexp.MustCompile(`^[A-Z][A-Z_]+`)

func defaults() *settings {
	return &settings{relay: relay.DefaultConfig(), addr: ":8080", admin: "127.0.0.1:9091", logLevel: "info"}
}
