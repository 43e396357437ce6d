// Command setup makes sure that everything the tests need is installed: a C
// compiler for the race detector, Node, Chromium, Firefox, WebKitGTK, nginx, Caddy,
// Redis, Prometheus, PHP, curl, and the widget's development dependencies. On
// Debian, as root, it installs what is missing; elsewhere it prints the command for
// it.
//
// With arguments it only installs the npm packages of these folders, which requires
// only Node.
package main

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
)

// minNode is the oldest supported major version of Node; its test runner is
// sufficient.
const minNode = 20

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	var err error
	if folders := os.Args[1:]; len(folders) > 0 {
		err = modules(ctx, folders)
	} else {
		err = run(ctx)
	}
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "setup:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context) error {
	missing := lacking(ctx)
	if len(missing) > 0 && os.Geteuid() == 0 && found("apt-get") {
		if err := install(ctx, missing); err != nil {
			return err
		}
		missing = lacking(ctx)
	}
	if len(missing) > 0 {
		return errors.New(advice(missing, found))
	}
	return modules(ctx, []string{"web", "clients/js", "clients/others", "examples/react", "examples/vue", "tools/openapi"})
}

// modules installs the npm packages of each folder.
func modules(ctx context.Context, folders []string) error {
	if err := checkNode(ctx); err != nil {
		return err
	}
	errs := make([]error, len(folders))
	var all sync.WaitGroup
	for i, folder := range folders { // concurrently, as each mostly waits for the network
		all.Go(func() { errs[i] = installModules(ctx, folder) })
	}
	all.Wait()
	return errors.Join(errs...)
}

// A need is something that a package manager provides.
type need string

const (
	compiler need = "a C compiler"
	browser  need = "Chromium"
	firefox  need = "Firefox"
	shell    need = "Chromium's headless shell" // makes the tests faster; only Debian has it
	webkit   need = "WebKitGTK"                 // with its driver and a display; only Debian has all of it
	nginx    need = "nginx"
	caddy    need = "Caddy"
	redis    need = "Redis"
	metrics  need = "Prometheus"
	php      need = "PHP"
	http     need = "curl"
	systemd  need = "systemd" // the same
)

// programs are the needs that are met if a program exists.
var programs = []struct {
	name string
	need need
}{{"chromium-headless-shell", shell}, {"nginx", nginx}, {"caddy", caddy}, {"redis-server", redis}, {"promtool", metrics}, {"php", php}, {"curl", http}, {"systemd-analyze", systemd}}

// lacking returns the needs that are not met.
func lacking(ctx context.Context) []need {
	var missing []need
	if !compiles(ctx) {
		missing = append(missing, compiler)
	}
	if !found(cmp.Or(os.Getenv("CHROMIUM"), "/usr/bin/chromium")) {
		missing = append(missing, browser)
	}
	if !found(cmp.Or(os.Getenv("FIREFOX"), "firefox-esr")) && !found("firefox") {
		missing = append(missing, firefox)
	}
	if found("apt-get") && (!found("WebKitWebDriver") || !found("Xvfb")) {
		missing = append(missing, webkit)
	}
	for _, p := range programs {
		if !found(p.name) && (p.need != systemd || found("apt-get")) && (p.need != shell || hasShell()) {
			missing = append(missing, p.need)
		}
	}
	return missing
}

// hasShell reports whether the tests use Chromium's headless shell: not if CHROMIUM names a
// browser, and only where it is a package.
func hasShell() bool {
	release, err := os.ReadFile("/etc/os-release")
	return err == nil && os.Getenv("CHROMIUM") == "" && slices.Contains(strings.Split(string(release), "\n"), "ID=debian")
}

func found(program string) bool {
	_, err := exec.LookPath(program)
	return err == nil
}

// compiles reports whether Go's C compiler exists, with the headers of the C
// library.
func compiles(ctx context.Context) bool {
	cc, err := exec.CommandContext(ctx, "go", "env", "CC").Output()
	args := strings.Fields(string(cc))
	if err != nil || len(args) == 0 {
		return false
	}
	args = append(args, "-E", "-")
	cmd := exec.CommandContext(ctx, args[0], args[1:]...) //nolint:gosec // Go runs it too
	cmd.Stdin = strings.NewReader("#include <stdlib.h>\n")
	return cmd.Run() == nil
}

// managers are the package managers, with their package names. The first one that
// exists is used.
var managers = []struct {
	program, command string
	packages         map[need]string
}{
	{"apt-get", "sudo apt-get update && sudo apt-get install -y", map[need]string{compiler: "gcc libc6-dev", browser: "chromium", shell: "chromium-headless-shell", firefox: "firefox-esr", webkit: "webkit2gtk-driver xvfb", nginx: "nginx", caddy: "caddy", redis: "redis-server", metrics: "prometheus", php: "php-cli", http: "curl", systemd: "systemd"}},
	{"dnf", "sudo dnf install -y", map[need]string{compiler: "gcc glibc-devel", browser: "chromium", firefox: "firefox", nginx: "nginx", caddy: "caddy", redis: "redis", metrics: "golang-github-prometheus", php: "php-cli", http: "curl"}},
	{"pacman", "sudo pacman -S --needed", map[need]string{compiler: "gcc", browser: "chromium", firefox: "firefox", nginx: "nginx", caddy: "caddy", redis: "redis", metrics: "prometheus", php: "php", http: "curl"}},
	{"apk", "sudo apk add", map[need]string{compiler: "gcc musl-dev", browser: "chromium", firefox: "firefox-esr", nginx: "nginx", caddy: "caddy", redis: "redis", metrics: "prometheus", php: "php", http: "curl"}},
	{"brew", "brew install", map[need]string{compiler: "gcc", browser: "--cask chromium", firefox: "--cask firefox", nginx: "nginx", caddy: "caddy", redis: "redis", metrics: "prometheus", php: "php", http: "curl"}},
}

// advice returns the one command that installs what is missing.
func advice(missing []need, found func(program string) bool) string {
	names := make([]string, len(missing))
	for i, n := range missing {
		names[i] = string(n)
	}
	said := strings.Join(names, " and ") + " missing"
	for _, m := range managers {
		if found(m.program) {
			return said + "; run: " + m.command + " " + packages(missing, m.packages)
		}
	}
	return said + "; install it, or name Chromium in CHROMIUM"
}

func packages(missing []need, called map[need]string) string {
	var names []string
	for _, n := range missing {
		names = append(names, called[n])
	}
	return strings.Join(names, " ")
}

func install(ctx context.Context, missing []need) error {
	if err := show(ctx, "", "apt-get", "update", "-q"); err != nil {
		return err
	}
	args := append([]string{"install", "-q", "-y", "--no-install-recommends"},
		strings.Fields(packages(missing, managers[0].packages))...)
	return show(ctx, "", "apt-get", args...)
}

// show runs a program in a folder and shows its output.
func show(ctx context.Context, folder, program string, args ...string) error {
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Dir = folder
	cmd.Env = append(os.Environ(), "DEBIAN_FRONTEND=noninteractive")
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("%s %s: %w", program, strings.Join(args, " "), err)
	}
	return nil
}

func checkNode(ctx context.Context) error {
	out, err := exec.CommandContext(ctx, "node", "--version").Output()
	if err != nil || !found("npm") {
		return fmt.Errorf("node and npm are missing; install Node %d or newer", minNode)
	}
	version := strings.TrimSpace(string(out))
	major, _, _ := strings.Cut(strings.TrimPrefix(version, "v"), ".")
	if n, err := strconv.Atoi(major); err != nil || n < minNode {
		return fmt.Errorf("node %s is too old; install Node %d or newer", version, minNode)
	}
	return nil
}

// installModules installs the packages of a folder's lock file, unless that has
// been done. A marker file among the modules records it, and is deleted with them.
func installModules(ctx context.Context, folder string) error {
	lock, err := os.ReadFile(filepath.Join(folder, "package-lock.json")) //nolint:gosec // the caller's own choice of folder
	if err != nil {
		return err
	}
	sum := sha256.Sum256(lock)
	want := []byte(hex.EncodeToString(sum[:]) + "\n")
	mark := filepath.Join(folder, "node_modules", ".installed")
	if got, err := os.ReadFile(mark); err == nil && bytes.Equal(got, want) { //nolint:gosec // as above
		return nil
	}
	if err = show(ctx, folder, "npm", "ci", "--no-audit", "--no-fund"); err != nil {
		return err
	}
	return os.WriteFile(mark, want, 0o600) //nolint:gosec // as above
}
