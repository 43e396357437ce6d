//go:build unix

package main

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/anyframe-relay/relay/anyframe/anyframetest"
)

// report is the result of a run.
type report struct {
	faced                     map[string]int
	streams, breaks, resets   int
	delivered                 int // numbered events over all tabs
	lost, repeated, wrong     int // of those
	sentAway                  int // tabs that were refused permanently
	turns, turnsLost, doubled int
	stopped, stoppedSent      int // turns stopped while pending; those sent anyway
	rated, misrated           int // rated turns; those whose final rating is wrong
	erased, erasedLeft        int // guests who erased everything; their conversations that are left
	disordered                int // visitors whose turns reached AnyFrame in another order
	again                     int // retries of turns
	sandboxes, visitors       int
	idle                      int // running sandboxes without a message
	took, catchUps            []time.Duration
	examples                  []string
}

// judge compares what each visitor received with the control plane's log.
func (c *chaos) judge(wants map[int][]seen) *report {
	r := &report{faced: c.faced, visitors: len(c.visitors), sandboxes: len(c.plane.Sessions())}
	taken := map[int][]string{}
	for _, s := range c.plane.Sessions() {
		n, texts := c.owner(s.ID)
		taken[n] = append(taken[n], texts...)
		if len(texts) == 0 && s.Status == anyframetest.StatusRunning {
			r.idle++
		}
	}
	for _, v := range c.visitors {
		r.turns += len(v.turns)
		r.again += v.again
		r.took = append(r.took, v.took...)
		times := map[string]int{}
		for _, text := range taken[v.n] {
			times[text]++
		}
		for _, text := range v.turns {
			if times[text] == 0 {
				r.turnsLost++
				r.example("%s was accepted and is not there", text)
			}
		}
		r.rated += len(v.rated)
		r.stopped += len(v.never)
		for _, text := range v.never {
			if times[text] > 0 {
				r.stoppedSent++
				r.example("%s was stopped before it was sent and is there", text)
			}
		}
		for text, n := range times {
			if n > 1 {
				r.doubled++
				r.example("%s is there %d times", text, n)
			}
		}
		if r.turnsLost+r.doubled == 0 && !slices.Equal(taken[v.n], v.turns) {
			r.disordered++
			r.example("visitor %d: got the order %q, want %q", v.n, taken[v.n], v.turns)
		}
		for i, t := range v.tabs {
			r.tab(fmt.Sprintf("visitor %d tab %d", v.n, i), t, wants[v.n])
		}
	}
	return r
}

// tab judges one tab.
func (r *report) tab(name string, t *tab, want []seen) {
	t.mu.Lock()
	defer t.mu.Unlock()
	r.streams++
	r.breaks += t.breaks
	r.resets += t.resets
	r.delivered += len(t.got)
	r.repeated += t.repeated
	r.catchUps = append(r.catchUps, t.catchUps...)
	if t.fatal != nil {
		r.sentAway++
		r.example("%s was sent away: %v", name, t.fatal)
	}
	got := map[seen]bool{}
	for _, e := range t.got {
		got[e] = true
	}
	for _, e := range want {
		if !got[e] {
			r.lost++
			r.example("%s lacks event %d-%d", name, e.epoch, e.seq)
		}
		delete(got, e)
	}
	for e := range got {
		r.wrong++
		r.example("%s has event %d-%d, which is another", name, e.epoch, e.seq)
	}
}

func (r *report) example(format string, args ...any) {
	if len(r.examples) < 20 {
		r.examples = append(r.examples, fmt.Sprintf(format, args...))
	}
}

// flawless reports whether nothing was lost, repeated or invented.
func (r *report) flawless() bool {
	return r.lost+r.repeated+r.wrong+r.resets+r.sentAway+r.turnsLost+r.stoppedSent+r.misrated+r.erasedLeft+r.doubled+r.disordered == 0
}

// quantiles are the median, the 99th percentile and the maximum.
func quantiles(all []time.Duration) string {
	if len(all) == 0 {
		return "none"
	}
	slices.Sort(all)
	at := func(q float64) time.Duration {
		return all[min(int(q*float64(len(all))), len(all)-1)].Round(time.Millisecond)
	}
	return fmt.Sprintf("p50 %v, p99 %v, most %v", at(.5), at(.99), at(1))
}

func (r *report) print(w io.Writer) {
	for _, name := range slices.Sorted(maps.Keys(r.faced)) {
		fmt.Fprintf(w, "  %3d × %s\n", r.faced[name], name)
	}
	for _, line := range []struct {
		name  string
		value any
	}{
		{"streams", r.streams},
		{"streams broken and opened again", r.breaks},
		{"events delivered", r.delivered},
		{"events lost", r.lost},
		{"events repeated", r.repeated},
		{"events not in AnyFrame's log", r.wrong},
		{"resets", r.resets},
		{"tabs sent away", r.sentAway},
		{"turns accepted", r.turns},
		{"turns lost", r.turnsLost},
		{"turns sent twice", r.doubled},
		{"turns stopped before they were sent", r.stopped},
		{"of these, sent all the same", r.stoppedSent},
		{"turns rated", r.rated},
		{"of these, with another last word", r.misrated},
		{"guests who had all erased", r.erased},
		{"conversations of theirs left", r.erasedLeft},
		{"visitors with turns out of order", r.disordered},
		{"turns posted again until accepted", r.again},
		{"sandboxes", fmt.Sprintf("%d for %d visitors, %d running without a visitor", r.sandboxes, r.visitors, r.idle)},
		{"time until a turn was accepted", quantiles(r.took)},
		{"time to catch up", quantiles(r.catchUps)},
	} {
		fmt.Fprintf(w, "%-34s %v\n", line.name, line.value)
	}
	if len(r.examples) > 0 {
		fmt.Fprintln(w, strings.Join(r.examples, "\n"))
	}
}
