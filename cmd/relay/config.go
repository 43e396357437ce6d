package main

import (
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

// environment is where settings come from: the process's environment first, and
// .env for what it does not have.
type environment struct {
	process func(string) (string, bool)
	file    map[string]string
}

// readEnvironment reads .env in the working directory, if there is one.
func readEnvironment(process func(string) (string, bool), path string) (environment, error) {
	e := environment{process: process}
	content, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return e, nil
	}
	if err != nil {
		return e, fmt.Errorf(".env cannot be read: %w", err)
	}
	if err = checkFile(string(content)); err != nil {
		return e, err
	}
	e.file, err = godotenv.Unmarshal(strings.TrimPrefix(string(content), bom))
	if err != nil {
		return e, fmt.Errorf(".env cannot be understood, near line %d", badLine(string(content)))
	}
	return e, nil
}

// badLine finds the first line that spoils the file. The parser's own message
// would quote it, and it may hold a key.
func badLine(content string) int {
	lines := strings.SplitAfter(content, "\n")
	for n := range lines {
		if _, err := godotenv.Unmarshal(strings.Join(lines[:n+1], "")); err != nil {
			return n + 1
		}
	}
	return len(lines)
}

// get returns a setting and whether it is from .env. A variable that is set
// counts even when it is empty: that is how a default is turned off.
func (e environment) get(name string) (value string, set, fromFile bool) {
	if v, ok := e.process(name); ok {
		return strings.TrimSpace(v), true, false
	}
	v, ok := e.file[name]
	return strings.TrimSpace(v), ok, ok
}

// read fills in the settings. All that is wrong comes back at once.
func (e environment) read(s *settings) error {
	var errs []error
	var keyFromFile bool
	for _, set := range table() {
		value, ok, fromFile := e.get(set.name)
		name := set.name
		if _, spoilt := e.process(bom + name); spoilt { // the first line of docker run --env-file
			errs = append(errs, fmt.Errorf("%s has a byte order mark (U+FEFF) before its name: save the file that it comes from as UTF-8 without BOM", name))
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
			continue // a stray file must not send the key to another host
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
	if _, ok, _ := e.get("RELAY_ADDR"); s.port != "" && !ok {
		s.addr = ":" + s.port
	}
	for name, addr := range map[string]string{"RELAY_ADDR": s.addr, "RELAY_ADMIN_ADDR": s.admin} {
		if _, _, err := net.SplitHostPort(addr); err != nil && addr != "" {
			errs = append(errs, fmt.Errorf("%s must be an address with a port, such as :8080 or 127.0.0.1:8080", name))
		}
	}
	if host, _, err := net.SplitHostPort(s.admin); err == nil && len(s.relay.AdminTokens) == 0 && !loopbackHost(host) {
		if v, _, _ := e.get("RELAY_ADMIN_TOKEN"); v == "" { // else what is wrong with it is said
			errs = append(errs, fmt.Errorf("RELAY_ADMIN_TOKEN is needed, for RELAY_ADMIN_ADDR %s is not on loopback: name:token, the token of 16 bytes or more (openssl rand -hex 32 makes one)", s.admin))
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

// loopbackHost reports whether only this machine reaches a listener on host.
func loopbackHost(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// strangers returns, of .env and of the process's environment (NAME=value), the
// names that look like settings and are none.
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

// problems lists what is wrong, a line each, without saying a thing twice.
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
