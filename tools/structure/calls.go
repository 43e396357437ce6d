package main

import (
	"fmt"
	"io"
	"maps"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/tools/go/callgraph"
	"golang.org/x/tools/go/callgraph/cha"
	"golang.org/x/tools/go/callgraph/vta"
	"golang.org/x/tools/go/packages"
	"golang.org/x/tools/go/ssa"
	"golang.org/x/tools/go/ssa/ssautil"
)

// calls is the module's call graph. Calls through function values and interfaces
// are resolved by variable type analysis. It does not contain callbacks from other
// modules and the standard library.
type calls struct {
	callees, callers map[*ssa.Function][]*ssa.Function
}

// writePaths prints three numbers of files for each FROM..TO. "shortest" counts the
// files of one shortest call chain: the least that a reader opens. "any" counts the
// files of every function that FROM reaches and that reaches TO: those that matter
// for a change. "reached" counts the files of every function that FROM reaches,
// including side effects.
func writePaths(w io.Writer, pkgs []*packages.Package, paths []string) error {
	c := newCalls(pkgs)
	fmt.Fprintln(w, "PATHS. Files of one shortest chain of calls, of all functions on any chain, of all functions reached.")
	for _, path := range paths {
		from, to, ok := strings.Cut(path, "..")
		if !ok {
			return fmt.Errorf("-path %s: want FROM..TO", path)
		}
		first, err := c.find(from)
		if err != nil {
			return err
		}
		last, err := c.find(to)
		if err != nil {
			return err
		}
		down, up := reach(first, c.callees), reach(last, c.callers)
		if _, ok := down[last]; !ok {
			return fmt.Errorf("%s does not lead to %s", from, to)
		}
		var chain, all []*ssa.Function // without the compiler's wrappers
		for f := last; f != nil; f = down[f] {
			if f.Syntax() != nil {
				chain = append(chain, f)
			}
		}
		slices.Reverse(chain)
		for f := range down {
			if _, ok := up[f]; ok && f.Syntax() != nil {
				all = append(all, f)
			}
		}
		fmt.Fprintf(w, "%s: shortest %d, any %d, reached %d files\n", path, countFiles(chain), countFiles(all), countFiles(slices.Collect(maps.Keys(down))))
		for _, f := range chain {
			fmt.Fprintf(w, "    %-60s %s\n", nameOf(f), fileOf(f))
		}
	}
	return nil
}

func newCalls(pkgs []*packages.Package) *calls {
	prog, built := ssautil.Packages(pkgs, ssa.InstantiateGenerics)
	prog.Build()
	own := map[*ssa.Package]bool{}
	for _, p := range built {
		own[p] = true
	}
	functions := map[*ssa.Function]bool{}
	for f := range ssautil.AllFunctions(prog) {
		if f.Package() == nil || own[f.Package()] { // no package: instances and wrappers
			functions[f] = true
		}
	}
	c := &calls{map[*ssa.Function][]*ssa.Function{}, map[*ssa.Function][]*ssa.Function{}}
	_ = callgraph.GraphVisitEdges(vta.CallGraph(functions, cha.CallGraph(prog)), func(e *callgraph.Edge) error {
		if from, to := e.Caller.Func, e.Callee.Func; functions[from] && functions[to] {
			c.callees[from] = append(c.callees[from], to)
			c.callers[to] = append(c.callers[to], from)
		}
		return nil
	})
	for _, of := range []map[*ssa.Function][]*ssa.Function{c.callees, c.callers} {
		for _, list := range of { // so that each run prints the same chain
			slices.SortFunc(list, func(a, b *ssa.Function) int { return strings.Compare(nameOf(a), nameOf(b)) })
		}
	}
	return c
}

// find returns the function with this name.
func (c *calls) find(name string) (*ssa.Function, error) {
	for _, of := range []map[*ssa.Function][]*ssa.Function{c.callees, c.callers} {
		for f := range of {
			if nameOf(f) == name {
				return f, nil
			}
		}
	}
	return nil, fmt.Errorf("no function %s calls anything or is called", name)
}

// reach returns the functions reachable from one, each with its predecessor on a
// shortest path.
func reach(from *ssa.Function, next map[*ssa.Function][]*ssa.Function) map[*ssa.Function]*ssa.Function {
	before := map[*ssa.Function]*ssa.Function{from: nil}
	for queue := []*ssa.Function{from}; len(queue) > 0; queue = queue[1:] {
		for _, to := range next[queue[0]] {
			if _, ok := before[to]; !ok {
				before[to] = queue[0]
				queue = append(queue, to)
			}
		}
	}
	return before
}

// nameOf returns a function's name with its package, without the module's path.
func nameOf(f *ssa.Function) string {
	name, open := f.String(), ""
	if i := strings.LastIndex(name, "/"); i >= 0 {
		for _, r := range name[:i] {
			if r != '(' && r != '*' {
				break
			}
			open += string(r)
		}
		name = open + name[i+1:]
	}
	return name
}

// fileOf returns a function's file, with its folder.
func fileOf(f *ssa.Function) string {
	name := f.Prog.Fset.Position(f.Pos()).Filename
	return filepath.Join(filepath.Base(filepath.Dir(name)), filepath.Base(name))
}

func countFiles(functions []*ssa.Function) int {
	files := map[string]bool{}
	for _, f := range functions {
		if f.Syntax() != nil { // otherwise a wrapper, without a file
			files[fileOf(f)] = true
		}
	}
	return len(files)
}
