package chunks

import (
	"math/rand/v2"
	"strings"
	"testing"
)

func TestText_AnyPieces_AreTheirSum(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for range 200 {
		var c Text
		sum := ""
		for range random.IntN(40) {
			piece := strings.Repeat(string(rune('a'+random.IntN(26))), random.IntN(1<<random.IntN(17)))
			c.Add(piece)
			sum += piece
		}
		if c.Len() != len(sum) || c.Since(0) != sum {
			t.Fatalf("got %d bytes, want the %d added ones", c.Len(), len(sum))
		}
		from := random.IntN(len(sum) + 1)
		if c.Since(from) != sum[from:] {
			t.Fatalf("since %d of %d: got another text", from, len(sum))
		}
		if !c.IsPrefixOf(sum) || !c.IsPrefixOf(sum+"more") {
			t.Fatal("the sum does not begin with the text")
		}
		if sum != "" {
			at := random.IntN(len(sum))
			if c.IsPrefixOf(sum[:len(sum)-1]) || c.IsPrefixOf(sum[:at]+"-"+sum[at+1:]) {
				t.Fatalf("a shorter text, or another one at %d, begins with the text", at)
			}
		}
	}
}

// A text is in memory once, and at most one chunk is reserved for what follows.
func TestText_LongText_NotMoved(t *testing.T) {
	var c Text
	piece := strings.Repeat("x", 1000)
	const pieces = 1000
	got := testing.AllocsPerRun(1, func() {
		c = Text{}
		for range pieces {
			c.Add(piece)
		}
	})
	if most := float64(2*pieces*len(piece)/maxChunk + 20); got > most {
		t.Errorf("got %v allocations, want %v at most", got, most)
	}
	reserved := 0
	for _, chunk := range c.kept {
		reserved += cap(chunk)
	}
	if reserved > c.Len()+maxChunk {
		t.Errorf("got %d bytes reserved for %d", reserved, c.Len())
	}
}
