package main

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"
)

func TestRelease_Platforms_AllBuilt(t *testing.T) {
	t.Parallel()
	got := map[platform]bool{}
	for _, p := range platforms {
		got[p] = true
	}
	for _, system := range []string{"linux", "darwin", "windows"} {
		for _, arch := range []string{"amd64", "arm64"} {
			if !got[platform{system, arch}] {
				t.Errorf("there is no program for %s on %s", system, arch)
			}
		}
	}
}

func TestNotes_Version_ItsSection(t *testing.T) {
	t.Parallel()
	changes := "# Changelog\n\n## Unreleased\n\n- New.\n\n## 1.2.3 - 2027-01-02\n\n- Mended.\n- Better.\n\n## 1.2.2 - 2027-01-01\n\n- Old.\n\n## 1.2.1\n\n## 1.2.0\n\n- First.\n"
	for version, want := range map[string]string{"v1.2.3": "- Mended.\n- Better.\n", "v1.2.2": "- Old.\n", "v1.2.0": "- First.\n"} {
		if got, err := notesOf(changes, version); err != nil || got != want {
			t.Errorf("%s: got %q, %v, want %q", version, got, err, want)
		}
	}
	for _, version := range []string{"v1.2.1", "v2.0.0"} {
		if got, err := notesOf(changes, version); err == nil {
			t.Errorf("%s: got %q, want an error: there is nothing", version, got)
		}
	}
}

func TestRelease_OtherTag_Refused(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{{}, {"v1.2.3"}, {"1.2.3", "dist"}, {"v1.2", "dist"}, {"v1.2.3; rm", "dist"}} {
		if err := run(t.Context(), args); err == nil || !strings.Contains(err.Error(), "want a version") {
			t.Errorf("%q: got %v, want it refused", args, err)
		}
	}
}

func TestArchives_Files_CompleteAndReproducible(t *testing.T) {
	t.Parallel()
	program := filepath.Join(t.TempDir(), "built")
	if err := os.WriteFile(program, []byte("program"), 0o600); err != nil {
		t.Fatal(err)
	}
	when := time.Date(2027, 1, 2, 3, 4, 5, 0, time.UTC)
	files := []entry{{"relay", program, 0o755}}
	for _, f := range beside {
		files = append(files, entry{f, "../../" + f, 0o644})
	}
	for name, pack := range map[string]func(io.Writer, string, []entry, time.Time) error{"tar": tarball, "zip": zipped} {
		var one, two bytes.Buffer
		if err := pack(&one, "relay_1", files, when); err != nil {
			t.Fatal(err)
		}
		if err := pack(&two, "relay_1", files, when); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(one.Bytes(), two.Bytes()) {
			t.Errorf("%s: got two archives, want one", name)
		}
		got := map[string]bool{}
		switch name {
		case "tar":
			zr, err := gzip.NewReader(&one)
			if err != nil {
				t.Fatal(err)
			}
			for tr := tar.NewReader(zr); ; {
				h, err := tr.Next()
				if err == io.EOF {
					break
				}
				if err != nil {
					t.Fatal(err)
				}
				got[h.Name] = true
				if strings.HasSuffix(h.Name, "/relay") && h.Mode != 0o755 {
					t.Errorf("the program has mode %o, want 755", h.Mode)
				}
			}
		default:
			zr, err := zip.NewReader(bytes.NewReader(one.Bytes()), int64(one.Len()))
			if err != nil {
				t.Fatal(err)
			}
			for _, f := range zr.File {
				got[f.Name] = true
			}
		}
		for _, f := range files {
			if !got["relay_1/"+f.name] {
				t.Errorf("%s: %s is not in it", name, f.name)
			}
		}
	}
}

func TestChecksums_Format_ReadBySha256sum(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for _, name := range []string{"b", "a"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(name), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	got, err := checksums(dir, []string{"b", "a"})
	want := fmt.Sprintf("%x  a\n%x  b\n", sha256.Sum256([]byte("a")), sha256.Sum256([]byte("b")))
	if err != nil || got != want {
		t.Errorf("got %q, %v, want %q", got, err, want)
	}
}

// workflow is the part of a workflow file that the tests use.
type workflow struct {
	On   map[string]any
	Jobs map[string]struct {
		Needs       string
		Permissions map[string]string
		Steps       []struct {
			Uses, Run, If string
			With          map[string]any
		}
	}
}

func TestWorkflow_Names_Exist(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../../.github/workflows/release.yml")
	if err != nil {
		t.Fatal(err)
	}
	var w workflow
	if err := yaml.Unmarshal(text, &w); err != nil {
		t.Fatal(err)
	}
	makefile, err := os.ReadFile("../../Makefile")
	if err != nil {
		t.Fatal(err)
	}
	tools := 0
	for name, job := range w.Jobs {
		if name != "test" && job.Needs != "test" {
			t.Errorf("%s: needs %q, want the tests", name, job.Needs)
		}
		for _, s := range job.Steps {
			for _, m := range regexp.MustCompile(`\bmake ([a-z-]+)`).FindAllStringSubmatch(s.Run, -1) {
				if tools++; !bytes.Contains(makefile, []byte("\n"+m[1]+":")) {
					t.Errorf("%s: there is no target %s", name, m[1])
				}
			}
			for _, m := range regexp.MustCompile(`go run (\./\S+)`).FindAllStringSubmatch(s.Run, -1) {
				if tools++; !exists("../../" + m[1]) {
					t.Errorf("%s: there is no %s", name, m[1])
				}
			}
			if file, ok := s.With["file"].(string); ok && !exists("../../"+file) {
				t.Errorf("%s: there is no %s", name, file)
			}
			if publishes := strings.Contains(s.Run, "gh release") || strings.HasPrefix(s.Uses, "docker/login-action"); publishes && s.If != "github.ref_type == 'tag'" {
				t.Errorf("%s: %s%s runs without a tag, too", name, s.Run, s.Uses)
			}
			if s.Uses != "" && !regexp.MustCompile(`^[\w-]+/[\w-]+@v\d+$`).MatchString(s.Uses) {
				t.Errorf("%s: %s: want a version of it", name, s.Uses)
			}
		}
	}
	for _, job := range []string{"test", "programs", "image"} {
		if len(w.Jobs[job].Steps) == 0 {
			t.Errorf("there is no job %s", job)
		}
	}
	if tools < 3 {
		t.Errorf("got %d tools named, want lint, test and release", tools)
	}
	for _, f := range beside {
		if !exists("../../" + f) {
			t.Errorf("there is no %s to go along", f)
		}
	}
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

func TestVersion_Program_PrintsTag(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for _, command := range []string{
		`git clone -q --no-hardlinks "$(git rev-parse --show-toplevel)" ` + dir,
		"git -C " + dir + " -c user.name=x -c user.email=x@example.com tag -a v1.8.7 -m release",
		"cd " + dir + " && GOFLAGS=-buildvcs=auto CGO_ENABLED=0 go build -trimpath -ldflags='-s -w' -o " + dir + ".relay ./cmd/relay",
	} {
		if out, err := exec.CommandContext(t.Context(), "sh", "-ec", command).CombinedOutput(); err != nil {
			t.Fatalf("%s: %v\n%s", command, err, out)
		}
	}
	t.Cleanup(func() { os.Remove(dir + ".relay") })
	out, err := exec.CommandContext(t.Context(), dir+".relay", "version").Output()
	if err != nil || !regexp.MustCompile(`^relay v1\.8\.7 \([0-9a-f]{12}\)\n$`).Match(out) {
		t.Errorf("got %q, %v, want the tag and the commit", out, err)
	}
}
