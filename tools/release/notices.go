package main

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// noticesFile contains the licenses of all code linked into the program, which
// prints them with relay licenses. It is committed, so that every build has it.
const noticesFile = "cmd/relay/licenses/third-party.txt"

// licence matches the names of a module's license files.
var licence = regexp.MustCompile(`(?i)^(un)?(licen[cs]e|copying|copyright|notice|patents)([-._].*)?$`)

// source files may have such names too.
var code = regexp.MustCompile(`(?i)\.(go|s|sh|tmpl|html)$`)

// notices returns the text for the program of the module in the folder dir, for all
// platforms.
func notices(ctx context.Context, dir string) ([]byte, error) {
	texts, err := licences(ctx, dir)
	if err != nil {
		return nil, err
	}
	users := map[string][]string{} // by text
	for module, all := range texts {
		text := strings.Join(all, "\n\n")
		users[text] = append(users[text], module)
	}
	for _, modules := range users {
		slices.Sort(modules)
	}
	var b bytes.Buffer
	b.WriteString("The relay's program contains the work of others, under these licences. The program's own is in the file LICENSE.\n")
	order := slices.SortedFunc(maps.Keys(users), func(a, b string) int { return cmp.Compare(users[a][0], users[b][0]) })
	for _, text := range order {
		fmt.Fprintf(&b, "\n%s\n%s\n\n%s\n", strings.Repeat("=", 80), strings.Join(users[text], "\n"), text)
	}
	return b.Bytes(), nil
}

// licences returns the license texts of each linked module, by its path, and of Go
// itself.
func licences(ctx context.Context, dir string) (map[string][]string, error) {
	folders := map[string]map[string]bool{} // by module: its packages' folders, each with its parents in the module
	for _, p := range platforms {
		cmd := exec.CommandContext(ctx, "go", "list", "-deps", "-f", "{{with .Module}}{{if not .Main}}{{.Path}}\t{{.Dir}}\t{{$.Dir}}{{end}}{{end}}", "./cmd/relay")
		cmd.Dir, cmd.Stderr = dir, os.Stderr
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS="+p.os, "GOARCH="+p.arch)
		out, err := cmd.Output()
		if err != nil {
			return nil, fmt.Errorf("go list: %w", err)
		}
		for line := range strings.Lines(string(out)) {
			path, rest, _ := strings.Cut(strings.TrimSpace(line), "\t")
			root, folder, ok := strings.Cut(rest, "\t")
			if !ok {
				continue
			}
			if folders[path] == nil {
				folders[path] = map[string]bool{}
			}
			for ; strings.HasPrefix(folder, root); folder = filepath.Dir(folder) {
				folders[path][folder] = true
			}
		}
	}
	goroot, err := exec.CommandContext(ctx, "go", "env", "GOROOT").Output()
	if err != nil {
		return nil, fmt.Errorf("go env: %w", err)
	}
	folders["Go, its runtime and standard library"] = map[string]bool{strings.TrimSpace(string(goroot)): true}
	texts := map[string][]string{}
	var missing []error
	for module, all := range folders {
		for _, folder := range slices.Sorted(maps.Keys(all)) {
			found, err := licencesIn(folder)
			if err != nil {
				return nil, err
			}
			texts[module] = append(texts[module], found...)
		}
		if len(texts[module]) == 0 {
			missing = append(missing, fmt.Errorf("%s has no licence in its folder", module))
		}
	}
	return texts, errors.Join(missing...)
}

func licencesIn(folder string) (texts []string, err error) {
	entries, err := os.ReadDir(folder)
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		if e.IsDir() || !licence.MatchString(e.Name()) || code.MatchString(e.Name()) {
			continue
		}
		text, err := os.ReadFile(filepath.Join(folder, e.Name()))
		if err != nil {
			return nil, err
		}
		lines := strings.Split(strings.ReplaceAll(string(text), "\r\n", "\n"), "\n")
		for i := range lines {
			lines[i] = strings.TrimRight(lines[i], " \t")
		}
		texts = append(texts, strings.Trim(strings.Join(lines, "\n"), "\n\f"))
	}
	return texts, nil
}
