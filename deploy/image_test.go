//go:build linux

package deploy_test

import (
	"bytes"
	"debug/elf"
	"encoding/json"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/anyframe-relay/relay/anyframe/anyframetest"
	"github.com/anyframe-relay/relay/tools/ports"
	"github.com/anyframe-relay/relay/tools/testtools"
)

func sh(t *testing.T, dir, command string, env ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "sh", "-ec", command)
	cmd.Dir, cmd.Env = dir, append(os.Environ(), env...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v\n%s", command, err, out)
	}
	return string(out)
}

// buildContext creates the build context that a container engine would use: a clone of the
// last commit. It fails the test if Dockerfile.dockerignore excludes a tracked file.
func buildContext(t *testing.T, dir string) {
	t.Helper()
	sh(t, ".", "git clone -q --no-hardlinks \"$(git rev-parse --show-toplevel)\" "+dir)
	for line := range strings.Lines(read(t, "Dockerfile.dockerignore")) {
		pattern := strings.TrimSpace(line)
		if pattern == "" || strings.HasPrefix(pattern, "#") || strings.HasPrefix(pattern, "!") {
			continue
		}
		if tracked := sh(t, dir, "git ls-files -- ':(glob)"+pattern+"' ':(exclude).env.example'"); tracked != "" {
			t.Errorf("%s keeps what is in the repository from the image: %s", pattern, tracked)
		}
	}
}

// byHand runs the build stage with root in place of /.
func byHand(t *testing.T, root, arch string) {
	t.Helper()
	absolute := regexp.MustCompile(`(^|[\s>=])(/(?:src|out|data)\b)`)
	place := func(s string) string { return absolute.ReplaceAllString(s, "${1}"+root+"${2}") }
	src := root + "/src"
	env := []string{"TARGETOS=linux", "TARGETARCH=" + arch, "GOFLAGS=-mod=readonly"}
	building := false
	for _, i := range instructions(t) {
		switch i.word {
		case "FROM":
			building = strings.HasSuffix(i.rest, "AS build")
		case "COPY":
			fields := strings.Fields(i.rest)
			for _, from := range fields[:len(fields)-1] {
				if !building || strings.HasPrefix(from, "--") {
					continue
				}
				if _, err := os.Stat(filepath.Join(src, from)); err != nil {
					t.Errorf("COPY %s: %v", from, err)
				}
			}
		case "RUN":
			if !building {
				t.Errorf("RUN %s: in a stage that has no shell", i.rest)
				continue
			}
			command := regexp.MustCompile(`--mount=\S+ `).ReplaceAllString(i.rest, "")
			sh(t, src, place(command), env...)
		}
	}
}

func TestDockerfile_Image_RunsByItself(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	buildContext(t, root+"/src")
	byHand(t, root, "amd64")
	image := root + "/out" // COPY --from=build /out /
	all := instructions(t)

	var entry, command []string
	for word, into := range map[string]*[]string{"ENTRYPOINT": &entry, "CMD": &command} {
		if err := json.Unmarshal([]byte(only(t, all, word)), into); err != nil {
			t.Fatalf("%s: %v, want the form that needs no shell", word, err)
		}
	}
	var check []string
	_, probe, _ := strings.Cut(only(t, all, "HEALTHCHECK"), "CMD ")
	if err := json.Unmarshal([]byte(probe), &check); err != nil || !slices.Equal(check, []string{entry[0], "health"}) {
		t.Errorf("HEALTHCHECK: got %q, %v, want relay health", check, err)
	}
	binary := filepath.Join(image, entry[0])
	file, err := elf.Open(binary)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	for _, p := range file.Progs {
		if p.Type == elf.PT_INTERP || p.Type == elf.PT_DYNAMIC {
			t.Errorf("the program has a segment %s, want it static: there is nothing to load", p.Type)
		}
	}
	revision := sh(t, root+"/src", "git rev-parse --short=12 HEAD")
	if got := sh(t, root, binary+" version"); got != "relay "+revision {
		t.Errorf("got version %q, want %q and nothing about changes", got, "relay "+revision)
	}
	if info, err := os.Stat(filepath.Join(image, "etc/ssl/certs/ca-certificates.crt")); err != nil || info.Size() < 100_000 {
		t.Errorf("certificates: got %v, %v, want them", info, err)
	}
	user := only(t, all, "USER")
	if user != "65532:65532" || !strings.Contains(read(t, filepath.Join(image, "etc/passwd")), ":"+user+":") {
		t.Errorf("got user %s, want one by number who is in passwd", user)
	}
	volume := only(t, all, "VOLUME")
	name, store, _ := strings.Cut(only(t, all, "ENV"), "=")
	if !slices.Contains(settings(t), name) || !strings.HasPrefix(store, "sqlite:"+volume+"/") || lastOf(all, "WORKDIR") != volume {
		t.Errorf("got %s=%s, volume %s, folder %s, want the store in the volume", name, store, volume, lastOf(all, "WORKDIR"))
	}
	if err := filepath.WalkDir(image, func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() && d.Name() != "relay" && !slices.Contains([]string{"ca-certificates.crt", "passwd", "group", "LICENSE", "THIRD-PARTY-NOTICES.txt"}, d.Name()) {
			t.Errorf("%s is in the image, want only what is needed", path)
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
	if os.Geteuid() != 0 {
		t.Log("not root: the program was not run with the image as its root")
		return
	}
	runInside(t, image, root+volume, volume, entry[0], command, name+"="+store)
}

// runInside runs the image like a container engine: as an unprivileged user who sees only
// the image and can write only to the volume.
func runInside(t *testing.T, image, made, volume, entry string, command []string, env string) {
	t.Helper()
	open := t.TempDir()
	sh(t, ".", fmt.Sprintf("cp -r %[1]s/. %[2]s && cp -r %[3]s %[2]s%[4]s && chown 65532:65532 %[2]s%[4]s && chmod 0755 %[2]s", image, open, made, volume))
	plane := anyframetest.Start(t)
	attr := &syscall.SysProcAttr{Chroot: open, Credential: &syscall.Credential{Uid: 65532, Gid: 65532}}
	vars := []string{env, "ANYFRAME_API_KEY=" + plane.Key(), fmt.Sprint("ANYFRAME_AGENT_ID=", plane.AgentID()), "ANYFRAME_BASE_URL=" + plane.URL(), "RELAY_ADMIN_ADDR="}
	var (
		addr  string
		log   *bytes.Buffer
		serve *exec.Cmd
		ended chan error
	)
	inside := func(args ...string) *exec.Cmd {
		cmd := exec.CommandContext(t.Context(), entry, args...)
		cmd.Dir, cmd.SysProcAttr, cmd.Env = volume, attr, append(slices.Clone(vars), "RELAY_ADDR="+addr)
		return cmd
	}
	err := ports.Try(t.Context(), func(free string) error {
		addr, log, ended = free, new(bytes.Buffer), make(chan error, 1)
		serve = inside(command...)
		serve.Stderr = log
		if err := serve.Start(); err != nil {
			return err
		}
		go func() { ended <- serve.Wait() }()
		for deadline := time.Now().Add(patience); ; {
			out, err := inside("health").CombinedOutput()
			if err == nil && string(out) == "alive and ready\n" {
				return nil
			}
			select {
			case err := <-ended:
				return fmt.Errorf("the relay ended: %w\n%s", err, log)
			case <-time.After(50 * time.Millisecond):
			}
			if time.Now().After(deadline) {
				return fmt.Errorf("HEALTHCHECK: got %q, %w, want it alive", out, err)
			}
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(open + volume + "/relay.db"); err != nil {
		t.Errorf("the store is not in the volume: %v", err)
	}
	res, err := testtools.Client.Get("http://" + addr + "/widget.js") //nolint:noctx // a request to the test's own relay
	if err != nil || res.StatusCode != http.StatusOK {
		t.Errorf("widget.js: got %v, %v, want it served", res, err)
	} else {
		res.Body.Close()
	}
	if err := serve.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; err != nil {
		t.Errorf("on STOPSIGNAL: got %v, want a clean end\n%s", err, log.String())
	}
	if out, err := inside("health").CombinedOutput(); err == nil {
		t.Errorf("HEALTHCHECK of a relay that is gone: got %q, want it to fail", out)
	}
}

func TestDockerfile_BuiltTwice_SameBytes(t *testing.T) {
	t.Parallel()
	arches := []string{"amd64"}
	if os.Getenv("RELAY_TEST_ALL") != "" {
		arches = append(arches, "arm64")
	} else {
		t.Log("arm64 is left out: it takes a minute; RELAY_TEST_ALL=1 builds it")
	}
	for _, arch := range arches {
		var programs [2][]byte
		for n := range programs {
			root := filepath.Join(t.TempDir(), strings.Repeat("deeper/", n)+"root")
			buildContext(t, root+"/src")
			byHand(t, root, arch)
			programs[n] = []byte(read(t, root+"/out/relay"))
		}
		if !bytes.Equal(programs[0], programs[1]) {
			t.Errorf("%s: got two programs of one commit, want one", arch)
		}
	}
}

func TestDockerfile_GoVersion_MatchesModule(t *testing.T) {
	t.Parallel()
	wanted := regexp.MustCompile(`(?m)^go (\d+\.\d+)`).FindStringSubmatch(read(t, "../go.mod"))
	pinned := regexp.MustCompile(`(?m)^ARG GO_VERSION=(\d+\.\d+)\.\d+$`).FindStringSubmatch(read(t, "Dockerfile"))
	if wanted == nil || pinned == nil || wanted[1] != pinned[1] {
		t.Errorf("got Go %q in the Dockerfile, want a release of %q", pinned, wanted)
	}
}
