package deploy_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/anyframe-relay/relay/tools/testtools"

	"github.com/BurntSushi/toml"
)

// instruction is one Dockerfile instruction, with continued lines joined.
type instruction struct{ word, rest string }

func instructions(t *testing.T) []instruction {
	t.Helper()
	text := regexp.MustCompile(`(?m)^#.*\n`).ReplaceAllString(read(t, "Dockerfile"), "")
	var all []instruction
	for line := range strings.Lines(strings.ReplaceAll(text, "\\\n", " ")) {
		if word, rest, ok := strings.Cut(strings.TrimSpace(line), " "); ok {
			all = append(all, instruction{word, strings.Join(strings.Fields(rest), " ")})
		}
	}
	if len(all) < 20 {
		t.Fatalf("got %d instructions in the Dockerfile, want more", len(all))
	}
	return all
}

// only returns the only instruction of a kind.
func only(t *testing.T, all []instruction, word string) string {
	t.Helper()
	var found []string
	for _, i := range all {
		if i.word == word {
			found = append(found, i.rest)
		}
	}
	if len(found) != 1 {
		t.Fatalf("%s: got %q, want one", word, found)
	}
	return found[0]
}

func lastOf(all []instruction, word string) (rest string) {
	for _, i := range all {
		if i.word == word {
			rest = i.rest
		}
	}
	return rest
}

// fly is the part of a fly.toml that the tests use.
type fly struct {
	KillSignal  string `toml:"kill_signal"`
	KillTimeout int    `toml:"kill_timeout"`
	Build       struct{ Dockerfile string }
	Env         map[string]string
	Mounts      struct{ Source, Destination string }
	HTTP        struct {
		Port        int    `toml:"internal_port"`
		AutoStop    string `toml:"auto_stop_machines"`
		Min         int    `toml:"min_machines_running"`
		Concurrency struct {
			Type string
			Soft int `toml:"soft_limit"`
			Hard int `toml:"hard_limit"`
		}
		Checks []struct{ Path string }
	} `toml:"http_service"`
	Checks  map[string]struct{ Path string }
	Metrics struct {
		Port int
		Path string
	}
}

func TestFly_Names_Exist(t *testing.T) {
	t.Parallel()
	var f fly
	if _, err := toml.DecodeFile("fly.toml", &f); err != nil {
		t.Fatal(err)
	}
	for name := range f.Env {
		if !slices.Contains(settings(t), name) {
			t.Errorf("%s is no setting", name)
		}
	}
	if _, err := os.Stat(f.Build.Dockerfile); err != nil {
		t.Error(err)
	}
	all := instructions(t)
	if f.KillSignal != only(t, all, "STOPSIGNAL") || f.KillTimeout < 15 {
		t.Errorf("got %s and %d s to end, want SIGTERM and time to drain", f.KillSignal, f.KillTimeout)
	}
	if volume := only(t, all, "VOLUME"); f.Mounts.Destination != volume || !strings.HasPrefix(f.Env["RELAY_STORE"], "sqlite:"+volume+"/") {
		t.Errorf("got the volume at %s and %s, want both at %s", f.Mounts.Destination, f.Env["RELAY_STORE"], volume)
	}
	if c := f.HTTP.Concurrency; f.HTTP.Port != 8080 || f.HTTP.AutoStop != "off" || f.HTTP.Min < 1 || c.Type != "connections" || c.Soft >= c.Hard {
		t.Errorf("got %+v, want one machine that stays, and connections counted", f.HTTP)
	}
	if !strings.HasPrefix(f.Env["RELAY_TRUSTED_PROXIES"], "header:Fly-Client-IP,") {
		t.Errorf("got %s, want the header that Fly sets", f.Env["RELAY_TRUSTED_PROXIES"])
	}
	if f.Env["RELAY_ADMIN_ADDR"] != ":9091" || f.Metrics.Port != 9091 || f.Metrics.Path != "/metrics" {
		t.Errorf("got metrics %+v on %s, want them where they are", f.Metrics, f.Env["RELAY_ADMIN_ADDR"])
	}
	paths := []string{f.Checks["ready"].Path}
	for _, c := range f.HTTP.Checks {
		paths = append(paths, c.Path)
	}
	if want := []string{"/readyz", "/healthz"}; !slices.Equal(paths, want) {
		t.Errorf("got checks %q, want %q", paths, want)
	}
}

// unit returns the lines of the systemd unit by name.
func unit(t *testing.T) map[string][]string {
	t.Helper()
	all := map[string][]string{}
	for line := range strings.Lines(read(t, "relay.service")) {
		if name, value, ok := strings.Cut(strings.TrimSpace(line), "="); ok && !strings.HasPrefix(name, "#") {
			all[name] = append(all[name], value)
		}
	}
	return all
}

func TestSystemd_Names_Exist(t *testing.T) {
	t.Parallel()
	u := unit(t)
	for _, line := range u["Environment"] {
		name, value, _ := strings.Cut(line, "=")
		if !slices.Contains(settings(t), name) {
			t.Errorf("%s is no setting", name)
		}
		if path, ok := strings.CutPrefix(value, "sqlite:"); ok && filepath.Dir(path) != "/var/lib/"+u["StateDirectory"][0] {
			t.Errorf("the store is at %s, want it in the folder that systemd makes", path)
		}
	}
	if got := u["WorkingDirectory"][0]; got != "/var/lib/"+u["StateDirectory"][0] {
		t.Errorf("got folder %s, want the one that systemd makes", got)
	}
	if stop, err := time.ParseDuration(u["TimeoutStopSec"][0]); err != nil || stop < 15*time.Second {
		t.Errorf("got %v, %v, want time to drain", stop, err)
	}
	path, err := program()
	if err != nil {
		t.Fatal(err)
	}
	args := strings.Fields(u["ExecStart"][0])[1:]
	// Without settings it reports that and exits with the status for which systemd
	// does not restart it.
	cmd := exec.CommandContext(t.Context(), path, args...)
	cmd.Dir, cmd.Env = t.TempDir(), []string{}
	out, _ := cmd.CombinedOutput()
	if !slices.Contains(u["RestartPreventExitStatus"], "2") || cmd.ProcessState.ExitCode() != 2 {
		t.Errorf("%q: got exit %d, %s, want 2, after which systemd does not try again", args, cmd.ProcessState.ExitCode(), out)
	}
}

func TestSystemd_Unit_Accepted(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("apt-get"); err != nil {
		if _, err := exec.LookPath("systemd-analyze"); err != nil {
			t.Skip("there is no systemd here, and none to be had")
		}
	}
	testtools.Need(t, "systemd-analyze")
	path, err := program()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	file := filepath.Join(dir, "relay.service")
	text := strings.ReplaceAll(read(t, "relay.service"), "/usr/local/bin/relay", path)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.CommandContext(t.Context(), "systemd-analyze", "verify", "--man=no", "--recursive-errors=no", file).CombinedOutput(); err != nil || strings.Contains(string(out), "relay.service") {
		t.Errorf("verify: got %v\n%s", err, out)
	}
	out, err := exec.CommandContext(t.Context(), "systemd-analyze", "security", "--offline=true", "--no-pager", file).CombinedOutput()
	if err != nil {
		t.Fatalf("security: %v\n%s", err, out)
	}
	found := regexp.MustCompile(`Overall exposure level for relay.service: ([0-9.]+) `).FindStringSubmatch(string(out))
	if found == nil {
		t.Fatalf("got no level of exposure:\n%s", out)
	}
	// What remains: it runs in the host's root directory and has network access.
	if level, err := strconv.ParseFloat(found[1], 64); err != nil || level > 1.2 {
		t.Errorf("got exposure %s, %v, want 1.2 at most, of 10:\n%s", found[1], err, out)
	}
}
