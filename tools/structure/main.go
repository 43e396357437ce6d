// Command structure prints the structure of a module's code: the size of each
// package, dependency cycles between its files, its largest types, and its imports.
// For each -path FROM..TO it also prints how many files a call from one function to
// another passes through.
//
//	go run ./tools/structure -path '(*relay.pump).run..(*eventlog.Log).Append'
package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/tools/go/packages"
)

func main() {
	dir := flag.String("C", ".", "the module's folder")
	largest := flag.Int("types", 20, "how many of the largest types to print")
	var paths []string
	flag.Func("path", "FROM..TO, two functions such as (*relay.pump).run or relay.New; may be given repeatedly", func(s string) error {
		paths = append(paths, s)
		return nil
	})
	flag.Parse()
	if err := structure(os.Stdout, *dir, *largest, paths); err != nil {
		fmt.Fprintln(os.Stderr, "structure:", err)
		os.Exit(1)
	}
}

// structure writes the report on the module in dir.
func structure(w io.Writer, dir string, largest int, paths []string) error {
	// The module's packages are loaded from source, all others from export data: the
	// database drivers alone would take minutes.
	pkgs, err := packages.Load(&packages.Config{Mode: packages.LoadSyntax | packages.NeedModule, Dir: dir}, "./...")
	if err != nil {
		return err
	}
	var wrong []error
	for _, p := range pkgs {
		for _, e := range p.Errors {
			wrong = append(wrong, e)
		}
	}
	if len(wrong) > 0 {
		return errors.Join(wrong...)
	}
	pkgs = slices.DeleteFunc(pkgs, func(p *packages.Package) bool { return len(p.Syntax) == 0 }) // tests only
	if err = writePackages(w, pkgs); err != nil {
		return err
	}
	fmt.Fprintln(w)
	writeTypes(w, pkgs, largest)
	fmt.Fprintln(w)
	writeImports(w, pkgs)
	if len(paths) == 0 {
		return nil
	}
	fmt.Fprintln(w)
	return writePaths(w, pkgs, paths)
}

// short returns a package's path within its module, and the root package's name.
func short(p *packages.Package) string {
	if rest, ok := strings.CutPrefix(p.PkgPath, p.Module.Path); ok && rest != "" {
		return rest[1:]
	}
	return p.Name
}

func writePackages(w io.Writer, pkgs []*packages.Package) error {
	fmt.Fprintln(w, "PACKAGES, without tests. cycle: files of the largest set that depend on one another in a circle, 1 if none do.")
	fmt.Fprintf(w, "%-28s %5s %6s  %-28s %5s %8s\n", "package", "files", "lines", "largest file", "cycle", "mutexes")
	for _, p := range pkgs {
		var lines, most int
		var largest string
		for _, name := range p.CompiledGoFiles {
			b, err := os.ReadFile(name)
			if err != nil {
				return err
			}
			n := strings.Count(string(b), "\n")
			if lines += n; n > most {
				most, largest = n, filepath.Base(name)
			}
		}
		fmt.Fprintf(w, "%-28s %5d %6d  %-28s %5d %8d\n", short(p), len(p.CompiledGoFiles), lines,
			fmt.Sprintf("%s (%d)", largest, most), largestComponent(fileGraph(p)), packageMutexes(p))
	}
	return nil
}

func writeImports(w io.Writer, pkgs []*packages.Package) {
	own := map[string]*packages.Package{}
	for _, p := range pkgs {
		own[p.PkgPath] = p
	}
	fmt.Fprintln(w, "IMPORTS among the module's packages")
	for _, p := range pkgs {
		var to []string
		for path := range p.Imports {
			if q := own[path]; q != nil {
				to = append(to, short(q))
			}
		}
		slices.Sort(to)
		if len(to) > 0 {
			fmt.Fprintf(w, "%-28s → %s\n", short(p), strings.Join(to, ", "))
		}
	}
}
