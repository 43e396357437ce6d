package main

import (
	"fmt"
	"io"
	"runtime/debug"
	"strings"

	"github.com/anyframe-relay/relay/cmd/relay/internal/operate"
)

var usage = `relay lets visitors of a website chat with an AnyFrame agent, and keeps the key.

  relay, relay serve   serve; needs ANYFRAME_API_KEY and ANYFRAME_AGENT_ID
  relay demo           serve a scripted agent, with no key and from memory
  relay doctor         check the deployment and say what to do about each
                       finding; --json prints it for programs; exit 1 on a finding
  relay config check   read the file of sites, RELAY_CONFIG or the one that is named,
                       and list all that is wrong with it; exit 2 if something is
  relay config schema  print the JSON schema of that file, for editors
  relay health         ask the relay on this machine whether it is alive, for a
                       container's health check; exit 1 when it is not
  relay version        what this is
  relay licenses       the licences of what is linked into this program
  relay help           this

On a relay that runs, through its admin address. Each takes --admin URL (of RELAY_ADMIN_ADDR
unless given), --json and --help, sends RELAY_ADMIN_TOKEN, and exits with 0 when it is
done, 1 when it is refused or no relay is reached, 2 when it is used wrongly:

` + operate.Usage() + `
Settings are environment variables, or lines of a file .env in the working
directory for those that the environment does not have.

`

// help prints the commands and every setting.
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

// example is the content of .env.example.
func example() string {
	var b strings.Builder
	b.WriteString("# Every setting of the relay with its default. Copy this file to .env and\n# uncomment what you change; the environment wins over the file.\n")
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

// version is the release and its commit, or only the commit that this was
// built from.
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
	case release == "" || release == "(devel)" || strings.Contains(release, revision): // Go makes that one up
		return revision + changed
	}
	return release + " (" + revision + ")" + changed
}
