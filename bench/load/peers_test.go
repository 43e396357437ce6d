package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strings"
	"testing"
)

// TestMain lets the test binary run as the parts that the benchmark starts.
func TestMain(m *testing.M) {
	if os.Getenv("LOAD_PART") == "" {
		os.Exit(m.Run())
	}
	if err := run(context.Background(), os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// Every installed peer passes every event on once, with every protocol of the control
// plane, and uses several connections for its streams.
func TestPeers_EveryShape_EventsPassedOnOnce(t *testing.T) {
	t.Setenv("LOAD_PART", "1")
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for _, proto := range []proto{protoH2, protoH1, protoPlain} {
		for _, p := range peers {
			if p.ours || p.alone || p.onlyH2 && proto != protoH2 {
				continue
			}
			t.Run(fmt.Sprintf("%s, %s", p.name, proto), func(t *testing.T) {
				sh := shape{proto: proto, streams: 5, bytes: 300, cores: 2}
				s, err := raise(t.Context(), p, sh, self, "")
				if errors.Is(err, errNoPeer) {
					t.Skip("is not installed")
				}
				if err != nil {
					t.Fatal(err)
				}
				defer s.strike()
				const tabs, events = 12, 40
				f, _, err := opened(t.Context(), s, tabs, false)
				if err != nil {
					t.Fatal(err)
				}
				if err := s.play(t.Context(), 0, events); err != nil {
					t.Fatal(err)
				}
				if err := f.await(tabs*events, patience); err != nil {
					t.Fatal(err)
				}
				f.closeAll()
				if f.lost.Load() > 0 || f.repeated.Load() > 0 {
					t.Errorf("got %d lost and %d repeated, want none", f.lost.Load(), f.repeated.Load())
				}
				const back = 10
				f.got.Store(0)
				for _, tab := range f.streams {
					tab.last = events - back
				}
				// The message is the session's first event; the counted ones follow.
				if _, err := f.openAll(t.Context(), tabs, func(*tab) string { return fmt.Sprint(1 + events - back) }); err != nil {
					t.Fatal(err)
				}
				if err := f.await(tabs*back, patience); err != nil {
					t.Fatal(err)
				}
				f.closeAll()
				if f.lost.Load() > 0 || f.repeated.Load() > 0 {
					t.Errorf("resumed: got %d lost and %d repeated, want none", f.lost.Load(), f.repeated.Load())
				}
			})
		}
	}
}

// The control plane observes a reader's flow-control windows. Small windows make it wait,
// and nothing is lost.
func TestPlane_H2Answer_LargerThanAnyWindow_Whole(t *testing.T) {
	t.Setenv("LOAD_PART", "1")
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	s, err := raise(t.Context(), peers[3], shape{proto: protoH2, streams: 5, bytes: 2000, cores: 2}, self, "") // ReverseProxy
	if err != nil {
		t.Fatal(err)
	}
	defer s.strike()
	f, err := s.visitors(t.Context(), 1, false)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.play(t.Context(), 0, 400); err != nil {
		t.Fatal(err)
	}
	path := strings.Replace(f.streams[0].path, "/events", "/transcript?limit=1000", 1)
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+s.addr+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	res, err := s.http.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	var rows []struct{ Seq int64 }
	if err := json.NewDecoder(res.Body).Decode(&rows); err != nil || len(rows) != 401 || rows[400].Seq != 401 {
		t.Errorf("got %d rows, error %v, want all 401", len(rows), err)
	}
}

func TestOptions_Wrong_Refused(t *testing.T) {
	t.Parallel()
	for _, args := range []string{"-proto h3 quick", "-cores 0 quick", "-streams -1 quick", "-visitors -1 quick", "-write quick", "-write -bytes 9 full", "-write full chat", "nothing"} {
		if err := run(t.Context(), strings.Fields(args)); err == nil {
			t.Errorf("%s: got no error, want one", args)
		}
	}
}
