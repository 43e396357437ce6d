package main

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"
)

// document is the file where a full run writes its tables, between these two lines.
const (
	document = "../docs/benchmarks.md"
	begin    = "<!-- measured -->"
	end      = "<!-- /measured -->"
)

// unavailable are peers that are never measured, and why.
const unavailable = "Mercure and Centrifugo are not measured: no package that the benchmark can install contains them."

// report prints the tables and, with write, also puts them into the document.
func report(facts map[string]string, write bool, all []measured, missing map[string]bool, failed []string) error {
	var b strings.Builder
	for _, k := range slices.Sorted(maps.Keys(facts)) {
		if facts[k] != "" {
			fmt.Fprintf(&b, "%s: %s; ", k, strings.TrimSpace(facts[k]))
		}
	}
	head := strings.TrimSuffix(b.String(), "; ") + ".\n"
	b.Reset()
	b.WriteString(head)
	for _, sc := range scenarios {
		writeTable(&b, sc, all)
	}
	b.WriteString("\n" + unavailable + "\n")
	for _, name := range slices.Sorted(maps.Keys(missing)) {
		fmt.Fprintf(&b, "%s was not installed.\n", name)
	}
	for _, line := range failed {
		b.WriteString(line + "\n")
	}
	fmt.Print(b.String())
	out, err := json.MarshalIndent(map[string]any{"facts": facts, "runs": all}, "", " ")
	if err != nil {
		return err
	}
	if err := os.WriteFile("results.json", append(out, '\n'), 0o600); err != nil {
		return err
	}
	if !write {
		return nil
	}
	text, err := os.ReadFile(document)
	if err != nil {
		return err
	}
	before, rest, ok1 := strings.Cut(string(text), begin)
	_, after, ok2 := strings.Cut(rest, end)
	if !ok1 || !ok2 {
		return fmt.Errorf("%s has no place for the tables", document)
	}
	return os.WriteFile(document, []byte(before+begin+"\n"+b.String()+end+after), 0o644) //nolint:gosec // for everyone to read
}

// writeTable shows the medians of a scenario, and their ratio to nginx's.
func writeTable(b *strings.Builder, sc scenario, all []measured) {
	runs := map[string][]result{}
	n := 0
	for _, m := range all {
		if m.Scenario == sc.name {
			runs[m.Peer] = append(runs[m.Peer], m.Result)
			n = m.Size
		}
	}
	if len(runs) == 0 {
		return
	}
	fmt.Fprintf(b, "\n### %s\n\n|  |", strings.ReplaceAll(sc.title, "%d", strconv.Itoa(n)))
	for _, c := range sc.columns {
		fmt.Fprintf(b, " %s |", c.name)
		if c.ratio {
			b.WriteString(" × nginx |")
		}
	}
	b.WriteString("\n| --- |")
	for _, c := range sc.columns {
		b.WriteString(" ---: |")
		if c.ratio {
			b.WriteString(" ---: |")
		}
	}
	b.WriteString("\n")
	for _, p := range peers {
		if len(runs[p.name]) == 0 {
			continue
		}
		fmt.Fprintf(b, "| %s |", p.name)
		for _, c := range sc.columns {
			v, ok := median(runs[p.name], c.name)
			if !ok || (p.start == nil && v == 0 && !slices.Contains([]string{lost, repeated}, c.name)) {
				b.WriteString(" |")
				if c.ratio {
					b.WriteString(" |")
				}
				continue
			}
			fmt.Fprintf(b, " "+c.format+" |", v)
			if !c.ratio {
				continue
			}
			if base, ok := median(runs["nginx"], c.name); ok && base > 0 {
				fmt.Fprintf(b, " %.2f |", v/base)
			} else {
				b.WriteString(" |")
			}
		}
		b.WriteString("\n")
	}
}

func median(runs []result, name string) (float64, bool) {
	var v []float64
	for _, r := range runs {
		if x, ok := r[name]; ok {
			v = append(v, x)
		}
	}
	if len(v) == 0 {
		return 0, false
	}
	slices.Sort(v)
	return (v[(len(v)-1)/2] + v[len(v)/2]) / 2, true
}

func processor() string {
	text, _ := os.ReadFile("/proc/cpuinfo")
	for line := range strings.Lines(string(text)) {
		if name, ok := strings.CutPrefix(line, "model name"); ok {
			return strings.Trim(name, "\t: \n")
		}
	}
	return ""
}
