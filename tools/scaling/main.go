// Command scaling reckons what so many visitors need, from the tables of measured
// and assumed figures in docs/scaling.md, and writes the result there. If there
// are results of the benchmarks, it takes over their figures first.
package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

const (
	document = "docs/scaling.md"
	results  = "bench/results.json"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "scaling:", err)
		os.Exit(1)
	}
}

func run() error {
	b, err := os.ReadFile(document)
	if err != nil {
		return err
	}
	text := string(b)
	switch b, err := os.ReadFile(results); {
	case err == nil:
		if text, err = measured(text, b); err != nil {
			return err
		}
	case errors.Is(err, fs.ErrNotExist):
		fmt.Println(results + " is not there: run make bench for figures of this machine")
	default:
		return err
	}
	if text, err = model(text); err != nil {
		return err
	}
	return os.WriteFile(document, []byte(text), 0o600) //nolint:gosec // the name is ours
}

// measured takes the relay's figures over from the results of the benchmarks.
func measured(text string, b []byte) (string, error) {
	var r struct {
		Runs []struct {
			Scenario, Peer string
			Result         map[string]float64
		}
	}
	if err := json.Unmarshal(b, &r); err != nil {
		return "", fmt.Errorf("%s: %w", results, err)
	}
	for _, m := range []struct {
		scenario, column, line string
		unit                   float64
	}{
		{"idle", "RSS B/stream", "memory of a stream whose agent runs", 1024},
		{"asleep", "RSS B/stream", "memory of a stream whose agent sleeps", 1024},
		{"chat", "CPU µs/event", "CPU of an event out", 1},
	} {
		var values []float64
		for _, run := range r.Runs {
			if v, ok := run.Result[m.column]; ok && run.Scenario == m.scenario && run.Peer == "relay" {
				values = append(values, v/m.unit)
			}
		}
		if len(values) == 0 {
			continue
		}
		slices.Sort(values)
		row := regexp.MustCompile(`(?m)^(\| ` + regexp.QuoteMeta(m.line) + ` \| )[0-9.]+( \|)`)
		if !row.MatchString(text) {
			return "", fmt.Errorf("%s has no line %q", document, m.line)
		}
		text = row.ReplaceAllString(text, "${1}"+strconv.FormatFloat(values[len(values)/2], 'f', 1, 64)+"${2}")
	}
	return text, nil
}

var place = regexp.MustCompile(`(?s)(<!-- model -->\n).*(<!-- /model -->)`)

// model writes the table that follows from the others.
func model(text string) (string, error) {
	var missing []string
	get := func(line string) float64 {
		m := regexp.MustCompile(`(?m)^\| ` + regexp.QuoteMeta(line) + ` \| ([0-9.]+) \|`).FindStringSubmatch(text)
		if m == nil {
			missing = append(missing, line)
			return 0
		}
		v, err := strconv.ParseFloat(m[1], 64)
		if err != nil {
			missing = append(missing, line)
		}
		return v
	}
	var (
		open     = get("visitors who have the chat open at the busiest time") / 100
		talking  = get("of these, in conversation: the sandbox runs") / 100
		turns    = get("turns of a conversation")
		pause    = get("time between two turns of a visitor in conversation")
		events   = get("events that an answer comes in")
		tabs     = get("tabs of a visitor that show the same conversation")
		speakers = get("visitors who say something in the time for which they are remembered") / 100
		each     = get("streams that one replica is given")
		size     = get("cores of one replica")
		busy     = get("of a core that is to be used at the busiest time") / 100
		awake    = get("memory of a stream whose agent runs")
		asleep   = get("memory of a stream whose agent sleeps")
		cpu      = get("CPU of an event out") / 1e6
		known    = get("Redis, a visitor who has said nothing")
		first    = get("Redis, the first turn")
		further  = get("Redis, a further turn")
		calls1   = get("requests to AnyFrame, the first turn")
		calls    = get("requests to AnyFrame, a further turn")
	)
	if len(missing) > 0 {
		return "", fmt.Errorf("%s has no %q", document, missing)
	}
	if turns < 1 || pause <= 0 || each < 1 || size <= 0 || busy <= 0 {
		return "", errors.New(document + " divides by nothing")
	}
	columns := []float64{10_000, 100_000, 1_000_000}
	var b strings.Builder
	row := func(name string, cell func(visitors float64) string) {
		b.WriteString("| " + name)
		for _, v := range columns {
			b.WriteString(" | " + cell(v))
		}
		b.WriteString(" |\n")
	}
	row("visitors", number)
	b.WriteString("|---|---:|---:|---:|\n")
	streams := func(v float64) float64 { return v * open * tabs }
	sandboxes := func(v float64) float64 { return v * open * talking }
	sent := func(v float64) float64 { return sandboxes(v) / pause * events * tabs }
	cores := func(v float64) float64 { return sent(v) * cpu }
	row("streams at the busiest time", func(v float64) string { return number(streams(v)) })
	row("sandboxes awake, and event streams at AnyFrame", func(v float64) string { return number(sandboxes(v)) })
	row("events out a second", func(v float64) string { return number(sent(v)) })
	row("requests to AnyFrame a second", func(v float64) string {
		return number(sandboxes(v) / pause * (calls1 + calls*(turns-1)) / turns)
	})
	row("memory of all replicas, MiB", func(v float64) string {
		return number((streams(v)*talking*awake + streams(v)*(1-talking)*asleep) / 1024)
	})
	row("cores of all replicas", func(v float64) string { return fraction(cores(v)) })
	row("replicas, and one more to be spared", func(v float64) string {
		return number(max(math.Ceil(streams(v)/each), math.Ceil(cores(v)/busy/size)) + 1)
	})
	row("Redis, MiB", func(v float64) string {
		return number(v * (known + speakers*(first+further*(turns-1))) / (1 << 20))
	})
	if !place.MatchString(text) {
		return "", fmt.Errorf("%s has no place for the model", document)
	}
	return place.ReplaceAllString(text, "${1}"+b.String()+"${2}"), nil
}

// number writes a figure as people read it, with no more digits than it is
// worth.
func number(v float64) string {
	s := strconv.FormatFloat(max(math.Ceil(v-1e-9), 0), 'f', 0, 64)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

func fraction(v float64) string { return strconv.FormatFloat(v, 'f', 2, 64) }
