package main

import (
	"errors"
	"testing"
	"time"
)

func TestEvents_Missing_CountAsLost(t *testing.T) {
	t.Parallel()
	f := &fleet{}
	s := &tab{fleet: f}
	event := func(n string) string { return `data: {"text":"` + marker + "1." + n + ` words"}` + "\n" }
	s.body.plain = true
	s.take([]byte(event("3") + event("4")[:20])) // the first two never arrived
	s.take([]byte(event("4")[20:] + event("4") + event("6")))
	if got, lost, repeated := f.got.Load(), f.lost.Load(), f.repeated.Load(); got != 3 || lost != 3 || repeated != 1 {
		t.Errorf("got %d events, %d lost, %d repeated, want 3, 3 and 1", got, lost, repeated)
	}
	if err := f.await(4, time.Millisecond); err == nil {
		t.Error("got no error, want one for the event that never comes")
	}
}

func TestFailure_Program_LastOutputReported(t *testing.T) {
	t.Parallel()
	for said, want := range map[string]string{
		"x ended:":                         "x ended:",
		"x ended:\nhello\naddress taken\n": "x ended: address taken",
	} {
		if got := brief(errors.New(said)); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}
