package conversation

import (
	"context"
	"errors"
	"iter"
	"slices"

	"github.com/anyframe-relay/relay/anyframe"
)

// RowReader reads at most limit rows of AnyFrame's transcript after the one numbered
// since.
type RowReader func(ctx context.Context, since int64, limit int) ([]anyframe.ChatEvent, error)

// MaxRows is how many rows of AnyFrame's transcript are asked for at once, at most.
const MaxRows = 1000

// AnyFrame's transcript is read piece by piece, so that who is slow to take it holds little
// of it: first pageRows rows, then as many as have about pageBytes together.
const (
	pageRows  = 64
	pageBytes = 512 << 10
)

// Piece is some rows of the transcript, one after the other.
type Piece struct {
	Rows []anyframe.ChatEvent
	Last bool // the transcript ends with them
}

// Pieces yields at most limit rows of the transcript after the one numbered since. Rows that
// are too large to be read together are read in smaller pages, one by one at last, as are
// those that do not come in the time that a call has; further pages are smaller then, too. An
// error is the last thing it yields.
func Pieces(ctx context.Context, rows RowReader, since int64, limit int) iter.Seq2[Piece, error] {
	return func(yield func(Piece, error) bool) {
		most := MaxRows
		for want := pageRows; limit > 0; {
			want = min(want, limit)
			page, err := rows(ctx, since, want)
			if want > 1 && errors.Is(err, anyframe.ErrResponseTooLarge) {
				want = max(want/8, 1)
				continue
			}
			if want > 1 && errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil {
				most = max(want/8, 1)
				want = 1 // at once, for an AnyFrame that does not answer at all takes as long each time
				continue
			}
			if err != nil {
				yield(Piece{}, err)
				return
			}
			last := len(page) < want
			page = slices.DeleteFunc(page, func(row anyframe.ChatEvent) bool { return row.Seq <= since })
			size := 0
			for _, row := range page {
				since = row.Seq
				size += len(row.Payload)
			}
			last = last || len(page) == 0 // or a server that does not obey since
			if !yield(Piece{page, last}, nil) || last {
				return
			}
			limit -= len(page)
			want = max(1, min(most, pageBytes*len(page)/max(size, 1)))
		}
	}
}
