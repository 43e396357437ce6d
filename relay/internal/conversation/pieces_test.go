package conversation

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/anyframe-relay/relay/anyframe"
	"github.com/anyframe-relay/relay/relay/internal/store/memory"
)

// transcript behaves like AnyFrame's, and records the size of its responses.
type transcript struct {
	rows    []anyframe.ChatEvent
	most    int // responses with more bytes are refused; 0 is no limit
	refusal error
	slow    int // responses with more rows time out; 0 is no limit
	largest int // size of the largest response in bytes
	asked   int
}

func newTranscript(n, size int) *transcript {
	t := &transcript{}
	for i := range n {
		payload := textEvent(false, strings.Repeat("y", size))
		t.rows = append(t.rows, anyframe.ChatEvent{Seq: int64(i + 1), Payload: json.RawMessage(payload)})
	}
	return t
}

func (t *transcript) read(_ context.Context, since int64, limit int) ([]anyframe.ChatEvent, error) {
	t.asked++
	var page []anyframe.ChatEvent
	size := 0
	for _, row := range t.rows {
		if row.Seq > since && len(page) < limit {
			page = append(page, row)
			size += len(row.Payload)
		}
	}
	if t.slow > 0 && len(page) > t.slow {
		return nil, context.DeadlineExceeded
	}
	if t.most > 0 && size > t.most {
		return nil, t.refusal
	}
	t.largest = max(t.largest, size)
	return page, nil
}

// Every reader of the past holds one piece of it, however long the past is. A stream that
// catches up, and whose client does not read, holds one for as long as that.
func TestHistory_Long_ReadInPieces(t *testing.T) {
	const atOnce = pageRows*17<<10 + pageBytes
	for size, asks := range map[int]int{1: 8, 400: 12, 16 << 10: 200} {
		t.Run(fmt.Sprint(size, " bytes"), func(t *testing.T) {
			past := newTranscript(4000, size)
			c := newChat(t, memory.New(), 1)
			shown, last := 0, int64(0)
			for it, err := range c.c.History(t.Context(), past.read, 0, 4000) {
				if err != nil {
					t.Fatal(err)
				}
				if it.Kind != "" {
					shown++
				}
				last = max(last, it.Seq)
			}
			if shown != 4000 || last != 4000 {
				t.Errorf("got %d events up to %d, want all 4000", shown, last)
			}
			if past.largest > atOnce {
				t.Errorf("got %d bytes at once, want at most %d", past.largest, atOnce)
			}
			if past.asked > asks {
				t.Errorf("asked AnyFrame %d times, want at most %d", past.asked, asks)
			}
		})
	}
}

// refusals are the errors of a page that holds too much.
var refusals = []error{anyframe.ErrResponseTooLarge, fmt.Errorf("anyframe: transcript: %w", context.DeadlineExceeded)}

// Rows that AnyFrame's client cannot read together, or not in time, are read one by one.
func TestHistory_AnswerTooLarge_ReadInSmallerPieces(t *testing.T) {
	for _, refusal := range refusals {
		t.Run(refusal.Error(), func(t *testing.T) {
			past := newTranscript(20, 1<<20)
			past.most, past.refusal = 3<<20, refusal
			c := newChat(t, memory.New(), 1)
			var got []int64
			for it, err := range c.c.History(t.Context(), past.read, 2, 18) {
				if err != nil {
					t.Fatal(err)
				}
				if it.Kind != "" {
					got = append(got, it.Seq)
				}
			}
			if len(got) != 16 || got[0] != 3 || !slices.IsSorted(got) {
				t.Errorf("got %d, want the events 3 to 18", got)
			}
		})
	}
}

func TestPieces_OneRowTooLarge_Fails(t *testing.T) {
	for _, refusal := range refusals {
		past := newTranscript(3, 1<<20)
		past.most, past.refusal = 1<<20, refusal
		for _, err := range Pieces(t.Context(), past.read, 0, math.MaxInt) {
			if !errors.Is(err, refusal) {
				t.Errorf("got %v, want %v", err, refusal)
			}
		}
		if past.asked > 4 {
			t.Errorf("asked %d times, want it to give up", past.asked)
		}
	}
}

// Each page that times out costs the full timeout of a call.
func TestPieces_AnyFrameSlow_SeldomAskedForTooMuch(t *testing.T) {
	past := newTranscript(400, 10)
	past.slow = 8
	rows := 0
	for piece, err := range Pieces(t.Context(), past.read, 0, math.MaxInt) {
		if err != nil {
			t.Fatal(err)
		}
		rows += len(piece.Rows)
	}
	if rows != 400 || past.asked > 60 {
		t.Errorf("got %d rows by asking %d times, want 400 by at most 60", rows, past.asked)
	}
}

func TestPieces_SinceNotObeyed_Ends(t *testing.T) {
	past := newTranscript(pageRows, 1)
	inclusive := func(ctx context.Context, since int64, limit int) ([]anyframe.ChatEvent, error) {
		return past.read(ctx, min(since, 0), limit)
	}
	n := 0
	for piece, err := range Pieces(t.Context(), inclusive, 0, math.MaxInt) {
		if err != nil {
			t.Fatal(err)
		}
		n += len(piece.Rows)
	}
	if n != pageRows || past.asked > 2 {
		t.Errorf("got %d rows in %d answers, want %d in 2", n, past.asked, pageRows)
	}
}
