package main

import (
	"go/ast"
	"path/filepath"

	"golang.org/x/tools/go/packages"
)

// graph holds, for each node, the nodes that it refers to.
type graph map[string]map[string]bool

func (g graph) add(from, to string) {
	if g[from] == nil {
		g[from] = map[string]bool{}
	}
	g[from][to] = true
}

// fileGraph records which file of a package uses declarations of another:
// functions, types, variables, fields and methods.
func fileGraph(p *packages.Package) graph {
	g := graph{}
	for _, f := range p.Syntax {
		from := filepath.Base(p.Fset.Position(f.FileStart).Filename)
		g[from] = map[string]bool{}
		ast.Inspect(f, func(n ast.Node) bool {
			id, ok := n.(*ast.Ident)
			if !ok {
				return true
			}
			if used := p.TypesInfo.Uses[id]; used != nil && used.Pkg() == p.Types && used.Pos().IsValid() {
				g.add(from, filepath.Base(p.Fset.Position(used.Pos()).Filename))
			}
			return true
		})
	}
	return g
}

// largestComponent returns the size of the largest strongly connected component,
// by Tarjan's algorithm.
func largestComponent(g graph) int {
	index, low, onStack := map[string]int{}, map[string]int{}, map[string]bool{}
	var stack []string
	largest := 0
	var visit func(string)
	visit = func(v string) {
		index[v] = len(index) + 1
		low[v] = index[v]
		stack, onStack[v] = append(stack, v), true
		for to := range g[v] {
			if index[to] == 0 {
				visit(to)
				low[v] = min(low[v], low[to])
			} else if onStack[to] {
				low[v] = min(low[v], index[to])
			}
		}
		if low[v] != index[v] {
			return
		}
		for size := 1; ; size++ {
			last := stack[len(stack)-1]
			stack, onStack[last] = stack[:len(stack)-1], false
			if last == v {
				largest = max(largest, size)
				return
			}
		}
	}
	for v := range g {
		if index[v] == 0 {
			visit(v)
		}
	}
	return largest
}
