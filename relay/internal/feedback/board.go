package feedback

import (
	"context"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// maxShown is how many of a visitor's ratings a board keeps, latest first.
	maxShown = 2000
	// lookEvery is how often a process checks for feedback that other processes stored,
	// in case a hint was lost or the store has none.
	lookEvery = time.Second
	// skew is the maximum difference between the clocks of processes.
	skew = 15 * time.Second
	// maxLook is how many words one check reads.
	maxLook = 1000
)

// Ratings are a visitor's ratings at one time. They are immutable: a change gives the
// [Board] new ones.
type Ratings struct {
	words []Word // earliest first, without their comments
	of    map[string]Word
}

// Rated is a turn with its rating.
type Rated struct{ Turn, Rating string }

// News returns the ratings of an epoch that differ from those in before, earliest first.
// Both before and r may be nil.
func (r *Ratings) News(before *Ratings, epoch int64) (news []Rated) {
	if r == nil {
		return nil
	}
	for _, w := range r.words {
		if w.Epoch != epoch {
			continue
		}
		if before != nil {
			if was, known := before.of[w.Turn]; known && was.Rating == w.Rating {
				continue
			}
		}
		news = append(news, Rated{w.Turn, w.Rating})
	}
	return news
}

// Board shows a visitor's ratings to the streams of this process.
type Board struct {
	book    *Book
	visitor string
	now     atomic.Pointer[Ratings]

	mu      sync.Mutex // guards the last read, and the streams to notify
	begun   int64      // number of reads begun
	shown   int64      // the read that now is the result of
	readers map[*func()]struct{}
}

// Watch returns the board of a visitor, as it is in the store. It calls notify after
// every change, until leave is called.
func (b *Book) Watch(ctx context.Context, visitor string, notify func()) (board *Board, leave func(), err error) {
	b.mu.Lock()
	board = b.boards[visitor]
	fresh := board == nil
	if fresh {
		board = &Board{book: b, visitor: visitor, readers: map[*func()]struct{}{}}
		b.boards[visitor] = board
	}
	board.mu.Lock()
	board.readers[&notify] = struct{}{}
	board.mu.Unlock()
	if !b.looking {
		b.looking = b.members.Go(b.look)
	}
	b.mu.Unlock()
	leave = func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		board.mu.Lock()
		defer board.mu.Unlock()
		delete(board.readers, &notify)
		if len(board.readers) == 0 && b.boards[visitor] == board {
			delete(b.boards, visitor)
		}
	}
	if board.Ratings() == nil {
		if err := board.read(ctx); err != nil {
			leave()
			return nil, nil, err
		}
	}
	return board, leave, nil
}

// Ratings returns the current ratings. It never blocks.
func (d *Board) Ratings() *Ratings {
	if d == nil {
		return nil
	}
	return d.now.Load()
}

// read reads the visitor's words. Of overlapping reads, the one that began last wins,
// because every change starts a read after it.
func (d *Board) read(ctx context.Context) error {
	d.mu.Lock()
	d.begun++
	mine := d.begun
	d.mu.Unlock()
	words, err := d.book.List(ctx, d.visitor)
	if err != nil {
		return err
	}
	words = words[max(len(words)-maxShown, 0):]
	r := &Ratings{words, make(map[string]Word, len(words))}
	for i := range words {
		words[i].Comment = ""
		r.of[words[i].Turn] = words[i]
	}
	d.mu.Lock()
	if mine < d.shown {
		d.mu.Unlock()
		return nil
	}
	d.shown = mine
	d.now.Store(r)
	var tell []func()
	for notify := range d.readers {
		tell = append(tell, *notify)
	}
	d.mu.Unlock()
	for _, notify := range tell {
		notify()
	}
	return nil
}

// Changed reads a visitor's words again, if a stream watches them.
func (b *Book) Changed(ctx context.Context, visitor string) {
	b.mu.Lock()
	board := b.boards[visitor]
	b.mu.Unlock()
	if board == nil {
		return
	}
	if err := board.read(ctx); err != nil {
		b.Log.Debug("failed to read feedback", "error", err)
	}
}

// Hinted is Changed without waiting: another process has changed some of the visitor's
// rows.
func (b *Book) Hinted(visitor string) {
	b.mu.Lock()
	watched := b.boards[visitor] != nil
	b.mu.Unlock()
	if watched {
		b.members.Go(func() { b.Changed(b.ctx, visitor) })
	}
}

// look rereads the boards that other processes have changed, while there are any. Its
// cost depends on the number of changes, not on the number of boards.
func (b *Book) look() {
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	revision, since := int64(-1), time.Now()
	for {
		select {
		case <-b.ctx.Done():
			return
		case <-tick.C:
		}
		b.mu.Lock()
		if len(b.boards) == 0 {
			b.looking = false
			b.mu.Unlock()
			return
		}
		b.mu.Unlock()
		begun := time.Now()
		now, err := b.Store.RecordsRevision(b.ctx, kind)
		if err == nil && now != revision {
			err = b.changedSince(since.Add(-skew))
		}
		if err != nil {
			b.Log.Debug("failed to look for feedback", "error", err)
			continue
		}
		revision, since = now, begun
	}
}

// changedSince rereads the boards of the visitors who gave feedback after a time.
func (b *Book) changedSince(since time.Time) error {
	due, key := time.Time{}, ""
	stale := map[string]bool{}
	for n := 0; n < maxLook; n += pageSize {
		page, err := b.Store.RecordsLatest(b.ctx, kind, due, key, pageSize)
		if err != nil {
			return err
		}
		for _, r := range page {
			due, key = r.Due, r.Key
			if r.Due.Before(since) {
				break
			}
			stale[r.Owner] = stale[r.Owner] || !b.knows(r.Owner, r.Key, r.Version)
		}
		if len(page) < pageSize || due.Before(since) {
			break
		}
	}
	for visitor, is := range stale {
		if is {
			b.Changed(b.ctx, visitor)
		}
	}
	return nil
}

// knows reports whether the visitor's words need not be read again: this process shows
// none of them, or has the word at key in that version.
func (b *Book) knows(visitor, key string, version int64) bool {
	b.mu.Lock()
	board := b.boards[visitor]
	b.mu.Unlock()
	if board == nil {
		return true
	}
	r := board.Ratings()
	return r != nil && r.of[key[len(keyOf(visitor, "")):]].version == version
}
