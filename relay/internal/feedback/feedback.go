package feedback

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/anyframe-relay/relay/relay/internal/group"
	"github.com/anyframe-relay/relay/relay/internal/store"
)

const (
	// kind is the kind of the records. Their key is visitor and turn, their owner the
	// visitor, and their due time the time of the feedback, so that the latest can be
	// read.
	kind = "feedback"

	// MaxComment is the maximum length of a comment in characters.
	MaxComment = 2000

	pageSize = 200
	tries    = 8 // on a record that others change at the same time
)

// The ratings. None withdraws an earlier rating.
const (
	Up   = "up"
	Down = "down"
	None = ""
)

// Store stores records. It is part of [store.Store].
type Store interface {
	Record(ctx context.Context, kind, key string) (store.Record, error)
	SaveRecord(ctx context.Context, r store.Record) (store.Record, error)
	DeleteRecord(ctx context.Context, kind, key string, version int64) error
	RecordsOf(ctx context.Context, kind, owner, after string, limit int) ([]store.Record, error)
	RecordsLatest(ctx context.Context, kind string, due time.Time, key string, limit int) ([]store.Record, error)
	RecordsRevision(ctx context.Context, kind string) (int64, error)
}

// Word is a visitor's latest feedback about the answer to a turn.
type Word struct {
	Turn    string
	Epoch   int64
	Rating  string // Up, Down or None
	Comment string
	At      time.Time

	version int64
}

// stored is a record's body.
type stored struct {
	Turn    string `json:"turn"`
	Epoch   int64  `json:"epoch"`
	Rating  string `json:"rating,omitempty"`
	Comment string `json:"comment,omitempty"`
}

// Change is a rating that differs from the previous one. Either may be [None].
type Change struct {
	Was, Rating string
	WasAt, At   time.Time // when they were given
}

// Options configures a Book.
type Options struct {
	Store Store
	TTL   time.Duration // how long a word is kept
	// Hint sends other processes a hint that the visitor's rows have changed.
	Hint func(ctx context.Context, visitor string)
	// Rates is called for every rating other than None that differs from the previous
	// one, before it is stored. Version is the version of the previous word, 0 if there
	// is none. It may be nil.
	Rates func(ctx context.Context, visitor string, w Word, version int64)
	// Rated is called for every rating that differs from the previous one.
	Rated func(ctx context.Context, c Change)
	Log   *slog.Logger
}

// Book stores the feedback of a site's visitors. It is safe for concurrent use. Use
// [New].
type Book struct {
	Options

	ctx     context.Context // of the goroutine that checks for changes by other processes
	cancel  context.CancelFunc
	members group.Group

	mu      sync.Mutex // guards boards and looking
	boards  map[string]*Board
	looking bool
}

// New returns a book. The caller must close it.
func New(o Options) *Book {
	ctx, cancel := context.WithCancel(context.Background())
	return &Book{Options: o, ctx: ctx, cancel: cancel, boards: map[string]*Board{}}
}

// Close ends the book's own goroutines.
func (b *Book) Close() {
	b.cancel()
	b.members.Close()
}

func keyOf(visitor, turn string) string { return visitor + " " + turn }

// Rate stores a visitor's feedback about a turn of an epoch, replacing earlier feedback.
// A rating of None has no comment.
func (b *Book) Rate(ctx context.Context, visitor string, w Word) error {
	if w.Rating == None {
		w.Comment = ""
	}
	for try := 0; ; try++ {
		r, err := b.Store.Record(ctx, kind, keyOf(visitor, w.Turn))
		var was stored
		saidAt := r.Due
		switch {
		case errors.Is(err, store.ErrNotFound):
			if w.Rating == None {
				return nil
			}
			r = store.Record{Kind: kind, Key: keyOf(visitor, w.Turn), Owner: visitor}
		case err != nil:
			return err
		default:
			if err := json.Unmarshal([]byte(r.Body), &was); err != nil {
				return err
			}
		}
		body, err := json.Marshal(stored{w.Turn, w.Epoch, w.Rating, w.Comment})
		if err != nil {
			return err
		}
		if was.Rating != w.Rating && w.Rating != None && b.Rates != nil {
			b.Rates(ctx, visitor, w, r.Version)
		}
		now := time.Now()
		r.Body, r.Due, r.ExpiresAt = string(body), now, now.Add(b.TTL)
		_, err = b.Store.SaveRecord(ctx, r)
		if errors.Is(err, store.ErrConflict) && try < tries {
			continue
		}
		if err != nil {
			return err
		}
		if was.Rating != w.Rating {
			b.Rated(ctx, Change{Was: was.Rating, Rating: w.Rating, WasAt: saidAt, At: now})
		}
		b.Changed(ctx, visitor)
		b.Hint(ctx, visitor)
		return nil
	}
}

// List returns a visitor's feedback, earliest first, including withdrawn ratings.
func (b *Book) List(ctx context.Context, visitor string) ([]Word, error) {
	var all []Word
	for after := ""; ; {
		page, err := b.Store.RecordsOf(ctx, kind, visitor, after, pageSize)
		if err != nil {
			return nil, err
		}
		for _, r := range page {
			var s stored
			if err := json.Unmarshal([]byte(r.Body), &s); err != nil {
				return nil, err
			}
			all = append(all, Word{s.Turn, s.Epoch, s.Rating, s.Comment, r.Due, r.Version})
			after = r.Key
		}
		if len(page) < pageSize {
			break
		}
	}
	slices.SortStableFunc(all, func(x, y Word) int { return cmp.Or(x.At.Compare(y.At), cmp.Compare(x.Turn, y.Turn)) })
	return all, nil
}

// Forget deletes a visitor's feedback about an epoch; 0 is all epochs. It may be called
// again.
func (b *Book) Forget(ctx context.Context, visitor string, epoch int64) error {
	for after := ""; ; {
		page, err := b.Store.RecordsOf(ctx, kind, visitor, after, pageSize)
		if err != nil {
			return err
		}
		for _, r := range page {
			after = r.Key
			var s stored
			if err := json.Unmarshal([]byte(r.Body), &s); err == nil && epoch != 0 && s.Epoch != epoch {
				continue
			}
			if err := b.Store.DeleteRecord(ctx, r.Kind, r.Key, r.Version); err != nil {
				return err
			}
		}
		if len(page) < pageSize {
			b.Changed(ctx, visitor)
			return nil
		}
	}
}
