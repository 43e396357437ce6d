package conversation

import (
	"context"
	"errors"
	"iter"
	"slices"

	"github.com/anyframe-relay/relay/anyframe"
)

// RowReader reads at most limit rows of AnyFrame's transcript after row since.
type RowReader func(ctx context.Context, since int64, limit int) ([]anyframe.ChatEvent, error)

// MaxRows is the maximum number of transcript rows per request.
const MaxRows = 1000

// AnyFrame's transcript is read in pieces, so that a slow reader holds little of it in
// memory: first pageRows rows, then as many as make up about pageBytes.
const (
	pageRows  = 64
	pageBytes = 512 << 10
)

// Piece is a run of consecutive transcript rows.
type Piece struct {
	Rows []anyframe.ChatEvent
	Last bool // the transcript ends here
}

// Pieces yields at most limit rows of the transcript after row since. If rows are too
// large to read together, or do not arrive within the timeout of a call, it retries with
// smaller pages, down to one row, and later pages are smaller too. An error is the last
// item.
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
				want = 1 // immediately: if AnyFrame does not answer at all, every attempt takes the full timeout
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
			last = last || len(page) == 0 // an empty page, or a server that ignores since
			if !yield(Piece{page, last}, nil) || last {
				return
			}
			limit -= len(page)
			want = max(1, min(most, pageBytes*len(page)/max(size, 1)))
		}
	}
}
