// Package eventlog holds the bounded log of one session, read by cursor.
//
// A log is the only buffer between AnyFrame and the subscribers of a session. Appending
// never blocks. A subscriber is only a position: it reads on from there at its own pace,
// and receives [ErrTrimmed] if it has fallen behind what is kept.
package eventlog

import (
	"errors"
	"slices"
	"sync"
)

// ErrTrimmed says that the events after a position or a seq are no longer kept.
var ErrTrimmed = errors.New("eventlog: trimmed")

// ErrClosed says that the log is closed and all of it has been read.
var ErrClosed = errors.New("eventlog: closed")

// Entry is one event, framed once and shared by every subscriber. Its bytes must not be
// changed.
type Entry struct {
	// Seq is AnyFrame's number for the event, 0 if it has none. An event without a number
	// belongs to the numbered one before it.
	Seq   int64
	Frame []byte
}

// Limits bound what a log keeps. The newest event is kept whatever its size.
type Limits struct {
	Events int
	Bytes  int
	// Compact merges a run of unnumbered entries into an equivalent shorter one. It is
	// called when a single run exceeds the limits. If Compact is nil, or the result is
	// still more than four times as large as the limits, the run is dropped.
	Compact func(run []Entry) []Entry
}

// Log is safe for use by one appender and any number of readers at once.
type Log struct {
	limits Limits

	mu      sync.Mutex // held only to read or set fields
	entries []Entry
	start   int   // index in entries of the oldest kept entry
	first   int64 // position of the oldest kept entry
	base    int64 // every visible event numbered above base is kept
	head    int64 // the highest seq seen, visible or not
	bytes   int
	floor   int // bytes that compacting could not save
	// The position after the last compacted run, and the position that now corresponds to
	// it. Readers that had read the whole run continue from there.
	seam, seamNow int64
	closed        bool
	held          bool // readers are not woken for appended entries
	unheard       bool // something was appended while held
	woken         bool // the watcher must be called

	watch func() // nil if there is no watcher
}

// New returns an empty log that begins right after the event numbered base.
func New(base int64, limits Limits) *Log {
	l := new(Log)
	l.Init(base, limits)
	return l
}

// Init initializes a log that is part of another struct, like New.
func (l *Log) Init(base int64, limits Limits) {
	l.limits, l.base, l.head, l.seam = limits, base, base, -1
}

// Watch makes the log call f after each change, in the goroutine that made it and with no
// lock held. It must be called before the log is shared.
func (l *Log) Watch(f func()) { l.watch = f }

// unlock unlocks mu and calls the watcher if necessary.
func (l *Log) unlock() {
	woken := l.woken
	l.woken = false
	l.mu.Unlock()
	if woken && l.watch != nil {
		l.watch()
	}
}

// Append adds the entries of one upstream event and wakes the readers. Only the last
// entry may have a seq, so that no reader resumes in between. If that seq is not above
// the head, Append adds nothing and returns false, so the pump may reconnect at any time.
// It also returns false if the entries belong to a run of unnumbered ones that exceeds
// what the log can hold. That run is then dropped with the entries, and the rest of it
// will lack its beginning.
func (l *Log) Append(entries ...Entry) bool {
	if len(entries) == 0 {
		return true
	}
	l.mu.Lock()
	defer l.unlock()
	seq := entries[len(entries)-1].Seq
	if l.closed || (seq != 0 && seq <= l.head) {
		return false
	}
	l.head = max(l.head, seq)
	l.entries = append(l.entries, entries...)
	for _, e := range entries {
		l.bytes += len(e.Frame)
	}
	kept := l.trim(len(entries))
	if l.unheard = l.held; !l.held {
		l.wake()
	}
	return kept
}

// Hold delays the wake-up for appended entries until [Log.Release], so that readers are
// woken once for many events and write them together.
func (l *Log) Hold() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.held = true
}

// Release ends Hold, and wakes the readers if there is anything new.
func (l *Log) Release() {
	l.mu.Lock()
	defer l.unlock()
	if l.held = false; l.unheard {
		l.unheard = false
		l.wake()
	}
}

// Advance records that the event numbered seq has been seen and shows nothing.
func (l *Log) Advance(seq int64) {
	l.mu.Lock()
	defer l.unlock()
	if seq > l.head {
		l.head = seq
		if l.unheard = l.held; !l.held {
			l.wake() // a reader may be waiting for the head to pass
		}
	}
}

// Head returns the highest seq seen, or the base before the first.
func (l *Log) Head() int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.head
}

// Newest returns the seq of the newest numbered entry, or the head if none is kept.
func (l *Log) Newest() int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, e := range slices.Backward(l.entries[l.start:]) {
		if e.Seq != 0 {
			return e.Seq
		}
	}
	return l.head
}

// Base returns the seq after which everything is kept.
func (l *Log) Base() int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.base
}

// Cursor returns the position just after the event numbered seq, so that the unnumbered
// events after it are read again. It returns [ErrTrimmed] if events after seq are no
// longer kept. A seq above the head is treated as the head.
func (l *Log) Cursor(seq int64) (int64, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if seq < l.base {
		return 0, ErrTrimmed
	}
	kept := l.entries[l.start:]
	for i, e := range slices.Backward(kept) {
		if e.Seq != 0 && e.Seq <= seq {
			return l.first + int64(i) + 1, nil
		}
	}
	return l.first, nil
}

// Read copies entries from position pos into buf and returns how many, and the position
// after them. If there are none, it returns 0 immediately, and the log's watcher is
// called on the next change. The error is [ErrTrimmed] if pos is no longer kept, and
// [ErrClosed] at the end of a closed log.
func (l *Log) Read(pos int64, buf []Entry) (n int, next int64, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if pos == l.seam {
		pos = l.seamNow
	}
	if pos < l.first {
		return 0, pos, ErrTrimmed
	}
	kept := l.entries[l.start:]
	if at := pos - l.first; at < int64(len(kept)) {
		n = copy(buf, kept[at:])
		return n, pos + int64(n), nil
	}
	if l.closed {
		return 0, pos, ErrClosed
	}
	return 0, pos, nil
}

// Notify wakes the readers although nothing was appended: other state that they read has
// changed.
func (l *Log) Notify() {
	l.mu.Lock()
	defer l.unlock()
	l.wake()
}

// Close closes the log. Readers read what is left and then receive [ErrClosed].
func (l *Log) Close() {
	l.mu.Lock()
	defer l.unlock()
	if !l.closed {
		l.wake()
		l.closed = true
	}
}

// Size returns how many events and bytes are kept.
func (l *Log) Size() (events, bytes int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.entries) - l.start, l.bytes
}

// wake makes unlock call the watcher.
func (l *Log) wake() { l.woken = true }

func (l *Log) over() bool {
	return len(l.entries)-l.start > l.limits.Events || l.bytes > l.limits.Bytes+l.floor
}

// trim drops the oldest events until the rest is within the limits. It drops unnumbered
// events only together with the numbered one that ends their run, so that a reader that
// starts here never gets half a run. The newest event, which is the last few entries, is
// kept whatever its size, unless its run is dropped: then trim returns false.
func (l *Log) trim(newest int) bool {
	for l.over() {
		end := l.start // index of the next numbered entry
		for end < len(l.entries) && l.entries[end].Seq == 0 {
			end++
		}
		if end == len(l.entries) {
			return l.compact(newest)
		}
		if end == len(l.entries)-1 {
			break
		}
		l.base = l.entries[end].Seq
		l.drop(end + 1)
	}
	// Move the entries down when more than half of the slice is unused. This keeps
	// appending cheap.
	if l.start > 32 && l.start > len(l.entries)/2 {
		n := copy(l.entries, l.entries[l.start:])
		clear(l.entries[n:])
		l.entries, l.start = l.entries[:n], 0
	}
	return true
}

// drop drops the entries before index end.
func (l *Log) drop(end int) {
	for i := l.start; i < end; i++ {
		l.bytes -= len(l.entries[i].Frame)
		l.entries[i] = Entry{}
	}
	l.first += int64(end - l.start)
	l.start = end
	l.floor = 0
}

// compact shortens a log that holds a single run of unnumbered events, except for the
// newest entries, which no reader has read yet. Readers inside the run fall behind;
// readers at its end are unaffected. A run that stays too large is dropped: then all
// readers fall behind, and compact returns false.
func (l *Log) compact(newest int) bool {
	split := len(l.entries) - newest
	run := l.entries[l.start:split]
	if len(run) == 0 {
		return true
	}
	end := l.first + int64(len(run))
	var short []Entry
	if l.limits.Compact != nil {
		short = l.limits.Compact(run)
	}
	size := 0
	for _, e := range short {
		size += len(e.Frame)
	}
	if len(short) == 0 || len(short) > l.limits.Events || size > 4*l.limits.Bytes {
		l.first = end + int64(newest) + 1
		l.entries, l.start, l.bytes, l.floor, l.seam = nil, 0, 0, 0, -1
		return false
	}
	for _, e := range run {
		l.bytes -= len(e.Frame)
	}
	l.bytes += size
	l.floor = size
	l.entries, l.start = append(slices.Clone(short), l.entries[split:]...), 0
	// All positions in the run become invalid, so that none is mistaken for a position in
	// the compacted run.
	l.first = end + 1
	l.seam, l.seamNow = end, l.first+int64(len(short))
	return true
}
