// Command release builds the files of a release from a clean checkout of its tag: a
// program for every platform with accompanying files, a bill of materials for each,
// checksums, and the notes from CHANGELOG.md.
//
//	go run ./tools/release v1.2.3 dist
//
// It also writes the licenses of the code linked into the program, which are
// committed:
//
//	go run ./tools/release notices
package main

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// platform is a platform that the program is built for.
type platform struct{ os, arch string }

var platforms = []platform{
	{"linux", "amd64"}, {"linux", "arm64"}, {"darwin", "amd64"}, {"darwin", "arm64"}, {"windows", "amd64"}, {"windows", "arm64"},
}

// beside are the files shipped with a program.
var beside = []string{"LICENSE", "README.md", "CHANGELOG.md", ".env.example", "deploy/relay.service"}

// bill writes a program's bill of materials, from the build information in it.
const bill = "github.com/CycloneDX/cyclonedx-gomod/cmd/cyclonedx-gomod@v1.9.0"

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx, os.Args[1:])
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "release:", err)
		os.Exit(1)
	}
}

var versionPattern = regexp.MustCompile(`^v\d+\.\d+\.\d+(-[0-9A-Za-z.-]+)?$`)

func run(ctx context.Context, args []string) error {
	if slices.Equal(args, []string{"notices"}) {
		text, err := notices(ctx, ".")
		if err != nil {
			return err
		}
		return os.WriteFile(noticesFile, text, 0o644) //nolint:gosec // for everyone to read
	}
	if len(args) != 2 || !versionPattern.MatchString(args[0]) {
		return errors.New("want a version such as v1.2.3 and a folder")
	}
	version, dir := args[0], args[1]
	changes, err := os.ReadFile("CHANGELOG.md")
	if err != nil {
		return err
	}
	notes, err := notesOf(string(changes), version)
	if err != nil {
		return err
	}
	when, err := commitTime(ctx)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o750); err != nil { //nolint:gosec // the caller's own choice of folder
		return err
	}
	if err := checkNotices(ctx); err != nil {
		return err
	}
	var made []string
	for _, p := range platforms {
		files, err := p.make(ctx, version, dir, when)
		if err != nil {
			return fmt.Errorf("%s/%s: %w", p.os, p.arch, err)
		}
		made = append(made, files...)
	}
	sums, err := checksums(dir, made)
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, "SHA256SUMS"), []byte(sums), 0o600); err != nil { //nolint:gosec // in that folder
		return err
	}
	return os.WriteFile(filepath.Join(dir, "NOTES.md"), []byte(notes), 0o600) //nolint:gosec // in that folder
}

// checkNotices reports whether the committed licenses match the linked code.
func checkNotices(ctx context.Context) error {
	want, err := notices(ctx, ".")
	if err != nil {
		return err
	}
	got, err := os.ReadFile(noticesFile)
	if err == nil && !bytes.Equal(got, want) {
		err = fmt.Errorf("%s is not what is linked: go run ./tools/release notices", noticesFile)
	}
	return err
}

// notesOf returns the changelog section of a version. A version without one cannot
// be released.
func notesOf(changes, version string) (string, error) {
	_, rest, ok := strings.Cut(changes, "\n## "+strings.TrimPrefix(version, "v"))
	if !ok {
		return "", fmt.Errorf("CHANGELOG.md has no section %q", strings.TrimPrefix(version, "v"))
	}
	_, rest, _ = strings.Cut(rest, "\n") // the rest of the heading: its date
	notes, _, _ := strings.Cut(rest, "\n## ")
	if notes = strings.TrimSpace(notes); notes == "" {
		return "", fmt.Errorf("CHANGELOG.md says nothing of %s", version)
	}
	return notes + "\n", nil
}

// commitTime is the modification time of files in the archives, so that the same
// commit produces the same archives.
func commitTime(ctx context.Context) (time.Time, error) {
	out, err := exec.CommandContext(ctx, "git", "log", "-1", "--format=%ct").Output()
	if err != nil {
		return time.Time{}, fmt.Errorf("git log: %w", err)
	}
	seconds, err := strconv.ParseInt(strings.TrimSpace(string(out)), 10, 64)
	return time.Unix(seconds, 0).UTC(), err
}

// make builds for one platform and returns the names of the files.
func (p platform) make(ctx context.Context, version, dir string, when time.Time) ([]string, error) {
	name := fmt.Sprintf("relay_%s_%s_%s", strings.TrimPrefix(version, "v"), p.os, p.arch)
	program := filepath.Join(dir, name+".program")
	env := []string{"CGO_ENABLED=0", "GOOS=" + p.os, "GOARCH=" + p.arch}
	if err := goDo(ctx, env, "build", "-trimpath", "-ldflags=-s -w", "-o", program, "./cmd/relay"); err != nil {
		return nil, err
	}
	defer os.Remove(program)
	sbom := name + ".cdx.json"
	if err := goDo(ctx, nil, "run", bill, "bin", "-json", "-licenses", "-noserial", "-output", filepath.Join(dir, sbom), program); err != nil {
		return nil, err
	}
	archive, pack := name+".tar.gz", tarball
	if p.os == "windows" {
		archive, pack = name+".zip", zipped
	}
	files := []entry{{p.program(), program, 0o755}}
	for _, f := range beside {
		files = append(files, entry{f, f, 0o644})
	}
	files = append(files, entry{"THIRD-PARTY-NOTICES.txt", noticesFile, 0o644})
	out, err := os.Create(filepath.Join(dir, archive)) //nolint:gosec // the caller's own choice of folder
	if err != nil {
		return nil, err
	}
	if err := errors.Join(pack(out, name, files, when), out.Close()); err != nil {
		return nil, err
	}
	return []string{archive, sbom}, nil
}

func (p platform) program() string {
	if p.os == "windows" {
		return "relay.exe"
	}
	return "relay"
}

func goDo(ctx context.Context, env []string, args ...string) error {
	cmd := exec.CommandContext(ctx, "go", args...) //nolint:gosec // our own arguments
	cmd.Env = append(os.Environ(), env...)
	cmd.Stderr = os.Stderr
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("go %s: %w", args[0], err)
	}
	return nil
}

// entry is a file in an archive.
type entry struct {
	name, from string
	mode       int64
}

func tarball(w io.Writer, folder string, files []entry, when time.Time) error {
	zw := gzip.NewWriter(w)
	tw := tar.NewWriter(zw)
	for _, f := range files {
		content, err := os.ReadFile(f.from)
		if err != nil {
			return err
		}
		h := &tar.Header{Name: folder + "/" + f.name, Mode: f.mode, Size: int64(len(content)), ModTime: when}
		if err := tw.WriteHeader(h); err != nil {
			return err
		}
		if _, err := tw.Write(content); err != nil {
			return err
		}
	}
	return errors.Join(tw.Close(), zw.Close())
}

func zipped(w io.Writer, folder string, files []entry, when time.Time) error {
	zw := zip.NewWriter(w)
	for _, f := range files {
		content, err := os.ReadFile(f.from)
		if err != nil {
			return err
		}
		out, err := zw.CreateHeader(&zip.FileHeader{Name: folder + "/" + f.name, Method: zip.Deflate, Modified: when})
		if err != nil {
			return err
		}
		if _, err := out.Write(content); err != nil {
			return err
		}
	}
	return zw.Close()
}

// checksums lists the files in sha256sum's format.
func checksums(dir string, files []string) (string, error) {
	var b strings.Builder
	for _, name := range slices.Sorted(slices.Values(files)) {
		content, err := os.ReadFile(filepath.Join(dir, name)) //nolint:gosec // made just now
		if err != nil {
			return "", err
		}
		fmt.Fprintf(&b, "%x  %s\n", sha256.Sum256(content), name)
	}
	return b.String(), nil
}
