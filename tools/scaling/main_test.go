package main

import (
	"os"
	"strings"
	"testing"
)

func page(t *testing.T) string {
	t.Helper()
	b, err := os.ReadFile("../../" + document)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestTheModelFollowsFromTheFigures(t *testing.T) {
	text := page(t)
	got, err := model(text)
	if err != nil {
		t.Fatal(err)
	}
	if got != text {
		t.Error("docs/scaling.md is not what its figures give: run make scaling")
	}
}

func TestTheModelReckonsRight(t *testing.T) {
	text := page(t)
	for line, value := range map[string]string{
		"visitors who have the chat open at the busiest time": "10", "of these, in conversation: the sandbox runs": "50",
		"tabs of a visitor that show the same conversation": "2", "time between two turns of a visitor in conversation": "50",
		"events that an answer comes in": "100", "turns of a conversation": "5", "requests to AnyFrame, the first turn": "6",
		"requests to AnyFrame, a further turn": "1", "CPU of an event out": "250", "cores of one replica": "1",
		"of a core that is to be used at the busiest time": "50", "streams that one replica is given": "1000",
		"memory of a stream whose agent runs": "30", "memory of a stream whose agent sleeps": "10",
	} {
		before, rest, ok := strings.Cut(text, "| "+line+" | ")
		_, after, closed := strings.Cut(rest, " |")
		if !ok || !closed {
			t.Fatalf("docs/scaling.md has no line %q", line)
		}
		text = before + "| " + line + " | " + value + " |" + after
	}
	got, err := model(text)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{ // 10,000 visitors first
		"| streams at the busiest time | 2,000 | 20,000 | 200,000 |",
		"| sandboxes awake, and event streams at AnyFrame | 500 | 5,000 | 50,000 |",
		"| events out a second | 2,000 | 20,000 | 200,000 |",
		"| requests to AnyFrame a second | 20 | 200 | 2,000 |",
		"| memory of all replicas, MiB | 40 | 391 | 3,907 |",
		"| cores of all replicas | 0.50 | 5.00 | 50.00 |",
		"| replicas, and one more to be spared | 3 | 21 | 201 |",
	} {
		if !strings.Contains(got, want+"\n") {
			t.Errorf("got no %q in\n%s", want, place.FindString(got))
		}
	}
}

func TestFiguresComeFromTheBenchmarks(t *testing.T) {
	results := `{"runs":[
		{"scenario":"idle","peer":"relay","result":{"RSS B/stream":20480}},{"scenario":"idle","peer":"nginx","result":{"RSS B/stream":1}},
		{"scenario":"chat","peer":"relay","result":{"CPU µs/event":9}},{"scenario":"chat","peer":"relay","result":{"CPU µs/event":7}},
		{"scenario":"chat","peer":"relay","result":{"CPU µs/event":8}}]}`
	got, err := measured(page(t), []byte(results))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"| memory of a stream whose agent runs | 20.0 |", "| CPU of an event out | 8.0 |"} {
		if !strings.Contains(got, want) {
			t.Errorf("got no %q", want)
		}
	}
}
