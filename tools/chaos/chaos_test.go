//go:build unix

package main

import (
	"errors"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// A shorter run of make chaos.
func TestChaos_Faults_NothingLost(t *testing.T) {
	if testing.Short() {
		t.Skip("takes half a minute")
	}
	for _, program := range []string{"redis-server", "nginx", "caddy"} {
		if _, err := exec.LookPath(program); err == nil {
			continue
		}
		if os.Getenv("RELAY_TEST_ALL") != "" {
			t.Fatalf("%s is missing; run make test, or go run ./tools/setup", program)
		}
		t.Skipf("%s is missing; make test installs it", program)
	}
	var said strings.Builder
	r, err := run(t.Context(), plan{seed: 1, length: 12 * time.Second, relays: 3, visitors: 8, tabs: 6, dir: t.TempDir(), out: &said})
	if r != nil {
		r.print(&said)
	}
	t.Log("\n" + said.String())
	if err != nil {
		t.Fatal(err)
	}
	if !r.flawless() {
		t.Error("events, turns or ratings were lost, repeated or out of order, or something erased is left")
	}
	if r.breaks == 0 || r.turns < r.visitors {
		t.Errorf("got %d streams broken and %d turns, want some: the run shows nothing", r.breaks, r.turns)
	}
	if r.rated == 0 || r.erased == 0 {
		t.Errorf("got %d turns rated and %d guests, want some: the run shows nothing", r.rated, r.erased)
	}
}

// The report must find each of these violations; otherwise a clean run proves
// nothing.
func TestChaos_Violations_Found(t *testing.T) {
	want := []seen{newSeen(1, 1, "user", "hello"), newSeen(1, 2, "text", "hi"), newSeen(1, 3, "turn_end", "done")}
	for name, test := range map[string]struct {
		events [][3]string
		find   func(*report) int
	}{
		"nothing":          {[][3]string{{"1-1", "user", "hello"}, {"1-2", "text", "hi"}, {"1-3", "turn_end", "done"}}, func(r *report) int { return map[bool]int{true: 1}[r.flawless()] }},
		"lost":             {[][3]string{{"1-1", "user", "hello"}, {"1-3", "turn_end", "done"}}, func(r *report) int { return r.lost }},
		"repeated":         {[][3]string{{"1-1", "user", "hello"}, {"1-2", "text", "hi"}, {"1-2", "text", "hi"}, {"1-3", "turn_end", "done"}}, func(r *report) int { return r.repeated }},
		"out of order":     {[][3]string{{"1-2", "text", "hi"}, {"1-1", "user", "hello"}, {"1-3", "turn_end", "done"}}, func(r *report) int { return r.repeated }},
		"other words":      {[][3]string{{"1-1", "user", "hello"}, {"1-2", "text", "ho"}, {"1-3", "turn_end", "done"}}, func(r *report) int { return r.wrong }},
		"another epoch":    {[][3]string{{"2-1", "user", "hello"}, {"2-2", "text", "hi"}, {"2-3", "turn_end", "done"}}, func(r *report) int { return r.lost }},
		"reset":            {[][3]string{{"", "reset", ""}, {"1-1", "user", "hello"}, {"1-2", "text", "hi"}, {"1-3", "turn_end", "done"}}, func(r *report) int { return r.resets }},
		"an id of nothing": {[][3]string{{"x", "user", "hello"}}, func(r *report) int { return r.lost }},
	} {
		x := &tab{visitor: &visitor{}}
		for _, e := range test.events {
			data := `{"text":"` + e[2] + `"}`
			if e[1] == "turn_end" {
				data = `{"reason":"` + e[2] + `"}`
			}
			_ = x.take(e[0], e[1], data) // an event that it refuses is lost
		}
		r := &report{}
		r.tab("x", x, want)
		if test.find(r) == 0 {
			t.Errorf("%s: got %+v, want it found", name, r)
		}
	}
	if !passes(errors.New("EOF")) || passes(&refusal{status: 401}) || !passes(&refusal{status: 503}) {
		t.Error("got the wrong refusals taken for final")
	}
}
