package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"
)

// measured is one stored run.
type measured struct {
	Scenario string `json:"scenario"`
	Peer     string `json:"peer"`
	Size     int    `json:"size"`
	Shape    string `json:"shape"`
	Result   result `json:"result"`
}

// measure runs every scenario with every peer in turn, for all repetitions.
func measure(ctx context.Context, o options, onlyScenarios, onlyPeers []string) error {
	asUsual := o
	asUsual.reps = 0
	whole := o.full && asUsual.usual() && onlyScenarios == nil && onlyPeers == nil
	if o.write && !whole {
		return errors.New("-write takes full, with nothing left out and no other flag than -reps")
	}
	dir, err := os.MkdirTemp("", "load-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	self, err := os.Executable()
	if err != nil {
		return err
	}
	binary := os.Getenv("RELAY_BINARY")
	if binary == "" {
		binary = filepath.Join(dir, "relay")
		build := exec.CommandContext(ctx, "go", "build", "-o", binary, "./cmd/relay") //nolint:gosec // our own folder
		build.Dir = ".."
		build.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := build.CombinedOutput(); err != nil {
			return fmt.Errorf("build the relay: %w\n%s", err, out)
		}
	}
	facts := machine(ctx)
	facts["control plane"] = o.shape.String()
	if o.reps > 0 {
		facts["runs of each scenario"] = fmt.Sprint(o.reps)
	}
	var all []measured
	missing := map[string]bool{}
	var failed []string // names and reasons
	for _, sc := range scenarios {
		if onlyScenarios != nil && !slices.Contains(onlyScenarios, sc.name) || onlyScenarios == nil && sc.rare && !o.full {
			continue
		}
		as := sc.with(o)
		if o.reps > 0 {
			sc.reps = o.reps
		}
		for rep := range sc.reps {
			inTurn := slices.Clone(peers)
			if rep%2 == 1 { // so that no program always follows the same one
				slices.Reverse(inTurn)
			}
			for _, p := range inTurn {
				if (sc.peers == nil && p.alone) || (sc.peers != nil && !slices.Contains(sc.peers, p.name)) ||
					(onlyPeers != nil && !slices.Contains(onlyPeers, p.name)) || missing[p.name] || p.onlyH2 && o.proto != protoH2 {
					continue
				}
				r, err := once(ctx, sc, p, as, self, binary)
				if errors.Is(err, errNoPeer) {
					missing[p.name] = true
					continue
				}
				if err != nil && (p.ours || ctx.Err() != nil) {
					return fmt.Errorf("%s, %s: %w", sc.name, p.name, err)
				}
				if err != nil { // a peer that fails must not lose the other results
					failed = append(failed, fmt.Sprintf("%s could not do %s, run %d of %d: %s.", p.name, sc.name, rep+1, sc.reps, brief(err)))
					fmt.Fprintf(os.Stderr, "%s\n%v\n", failed[len(failed)-1], err)
					continue
				}
				fmt.Fprintf(os.Stderr, "%s %d/%d %s: %v\n", sc.name, rep+1, sc.reps, p.name, r)
				all = append(all, measured{sc.name, p.name, as.visitors, as.shape.String(), r})
			}
		}
	}
	return report(facts, whole && o.write, all, missing, failed)
}

// brief returns the error, and the last output of the failed program, if any.
func brief(err error) string {
	lines := strings.Split(strings.TrimSpace(err.Error()), "\n")
	if len(lines) == 1 {
		return lines[0]
	}
	last := lines[len(lines)-1]
	return lines[0] + " " + last[:min(len(last), 300)]
}

func once(ctx context.Context, sc scenario, p peer, o options, self, binary string) (result, error) {
	s, err := raise(ctx, p, o.shape, self, binary)
	if err != nil {
		return nil, err
	}
	defer s.strike()
	r, err := sc.run(ctx, s, o)
	if err != nil && s.proc != nil {
		err = fmt.Errorf("%w\n%s", err, s.proc.tail())
	}
	return r, err
}

// machine describes the machine of the measurements.
func machine(ctx context.Context) map[string]string {
	load, _ := os.ReadFile("/proc/loadavg")
	facts := map[string]string{
		"date": time.Now().UTC().Format(time.DateOnly), "go": runtime.Version(), "cores": fmt.Sprint(runtime.NumCPU()),
		"processor": processor(), "kernel": firstLine(ctx, "uname", "-sr"), "load average at the start": string(load[:min(len(load), 14)]),
		"relay": firstLine(ctx, "git", "describe", "--always", "--dirty"),
		"nginx": firstLine(ctx, "nginx", "-v"), "Caddy": firstLine(ctx, "caddy", "version"), "Node": firstLine(ctx, "node", "--version"),
		"nchan": firstLine(ctx, "dpkg-query", "-W", "-f", "${Version}", "libnginx-mod-nchan"),
	}
	return facts
}
