package main

import (
	"cmp"
	"fmt"
	"go/types"
	"io"
	"slices"

	"golang.org/x/tools/go/packages"
)

// typeStats describes one named struct type.
type typeStats struct {
	name                            string
	fields, methods, files, mutexes int
}

// writeTypes prints the largest types, by the number of their fields and methods.
func writeTypes(w io.Writer, pkgs []*packages.Package, largest int) {
	var all []typeStats
	for _, p := range pkgs {
		for _, name := range p.Types.Scope().Names() {
			if tn, ok := p.Types.Scope().Lookup(name).(*types.TypeName); ok && !tn.IsAlias() {
				if s, ok := statsOf(p, tn); ok {
					all = append(all, s)
				}
			}
		}
	}
	slices.SortFunc(all, func(a, b typeStats) int {
		return cmp.Or(cmp.Compare(b.fields+b.methods, a.fields+a.methods), cmp.Compare(a.name, b.name))
	})
	fmt.Fprintln(w, "LARGEST TYPES. files: how many files its methods are in; mutexes: fields that are one.")
	fmt.Fprintf(w, "%-40s %6s %7s %5s %7s\n", "type", "fields", "methods", "files", "mutexes")
	for _, s := range all[:min(largest, len(all))] {
		fmt.Fprintf(w, "%-40s %6d %7d %5d %7d\n", s.name, s.fields, s.methods, s.files, s.mutexes)
	}
}

func statsOf(p *packages.Package, tn *types.TypeName) (typeStats, bool) {
	named, ok := tn.Type().(*types.Named)
	if !ok {
		return typeStats{}, false
	}
	structure, ok := named.Underlying().(*types.Struct)
	if !ok {
		return typeStats{}, false
	}
	s := typeStats{name: short(p) + "." + tn.Name(), fields: structure.NumFields(), methods: named.NumMethods()}
	for field := range structure.Fields() {
		if isMutex(field.Type()) {
			s.mutexes++
		}
	}
	files := map[string]bool{}
	for method := range named.Methods() {
		files[p.Fset.Position(method.Pos()).Filename] = true
	}
	s.files = len(files)
	return s, true
}

// packageMutexes counts the package-level variables that are a mutex.
func packageMutexes(p *packages.Package) int {
	n := 0
	for _, name := range p.Types.Scope().Names() {
		if v, ok := p.Types.Scope().Lookup(name).(*types.Var); ok && isMutex(v.Type()) {
			n++
		}
	}
	return n
}

func isMutex(t types.Type) bool {
	if ptr, ok := t.(*types.Pointer); ok {
		t = ptr.Elem()
	}
	return t.String() == "sync.Mutex" || t.String() == "sync.RWMutex"
}
