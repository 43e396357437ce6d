package main

import (
	"fmt"
	"io"
	"runtime/debug"
	"strings"

	"github.com/anyframe-relay/relay/cmd/relay/internal/operate"
)

var usage = `relay lets visitors of a website chat with an AnyFrame agent. The AnyFrame key stays on the server.

  relay, relay serve   run the relay; requires ANYFRAME_API_KEY and ANYFRAME_AGENT_ID
  relay demo           run with a scripted agent; needs no key, stores nothing on disk
  relay doctor         check the deployment and print what to do about each finding;
                       --json prints JSON; exits with 1 if there are findings
  relay config check [FILE]
                       check the sites file (default RELAY_CONFIG) and print all
                       problems; exits with 2 if there are any
  relay config schema  print the JSON schema of the sites file, for editors
  relay health         check that the relay on this machine is alive, for container
                       health checks; exits with 1 if it is not
  relay version        print the version
  relay licenses       print the licenses of all modules linked into this program
  relay help           print this help

These commands control a running relay through its admin address. Each accepts --admin URL
(default from RELAY_ADMIN_ADDR), --json and --help, and sends RELAY_ADMIN_TOKEN. Exit codes:
0 success, 1 request refused or no relay reached, 2 wrong usage.

` + operate.Usage() + `
Settings are environment variables. Variables that are not set in the environment are read
from a .env file in the working directory. Defaults are in brackets.

`

// help prints the usage text and every setting.
func help(w io.Writer) {
	fmt.Fprint(w, usage)
	for _, s := range table() {
		fallback := ""
		if s.fallback != "" {
			fallback = " [" + s.fallback + "]"
		}
		fmt.Fprintf(w, "  %-28s%s\n", s.name, s.meaning+fallback)
	}
}

// example returns the content of .env.example.
func example() string {
	var b strings.Builder
	b.WriteString("# All settings of the relay with their defaults. Copy this file to .env and uncomment\n# the settings you change. Environment variables take precedence over this file.\n" +
		"#\n# A # after a space begins a comment, except in quotation marks. Put a value that contains\n# a $ in single quotes, as in RELAY_TITLE='Under $50'.\n")
	for _, s := range table() {
		mark := "# "
		if strings.Contains(s.meaning, "required") {
			mark = ""
		}
		value := s.fallback
		if strings.ContainsAny(value, " #*") {
			value = `"` + value + `"`
		}
		fmt.Fprintf(&b, "\n# %s\n%s%s=%s\n", s.meaning, mark, s.name, value)
	}
	return b.String()
}

// version returns the release and its commit, or only the commit if this is not a release.
func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	revision, changed := "", ""
	for _, s := range info.Settings {
		switch {
		case s.Key == "vcs.revision":
			revision = s.Value[:min(12, len(s.Value))]
		case s.Key == "vcs.modified" && s.Value == "true":
			changed = " with changes"
		}
	}
	release := info.Main.Version
	switch {
	case revision == "":
		return release
	case release == "" || release == "(devel)" || strings.Contains(release, revision): // a pseudo-version made by Go
		return revision + changed
	}
	return release + " (" + revision + ")" + changed
}
