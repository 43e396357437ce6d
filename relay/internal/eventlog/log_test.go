package eventlog

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
)

func numbered(seq int64) Entry { return Entry{seq, fmt.Appendf(nil, "<%d>", seq)} }

func piece(text string) Entry { return Entry{0, []byte(text)} }

// join makes one entry of a run.
func join(run []Entry) []Entry {
	var b bytes.Buffer
	for _, e := range run {
		b.Write(e.Frame)
	}
	return []Entry{{0, b.Bytes()}}
}

var wide = Limits{Events: 1000, Bytes: 1 << 20}

// rest reads everything from pos on, two entries at a time.
func rest(l *Log, pos int64) (text string, next int64, err error) {
	var b strings.Builder
	buf := make([]Entry, 2)
	for {
		n, to, err := l.Read(pos, buf)
		if err != nil || n == 0 {
			return b.String(), to, err
		}
		for _, e := range buf[:n] {
			b.Write(e.Frame)
		}
		pos = to
	}
}

func mustRest(t *testing.T, l *Log, pos int64, want string) (next int64) {
	t.Helper()
	got, next, err := rest(l, pos)
	if got != want || err != nil {
		t.Fatalf("from %d: got %q, %v, want %q", pos, got, err, want)
	}
	return next
}

func mustCursor(t *testing.T, l *Log, seq int64) int64 {
	t.Helper()
	pos, err := l.Cursor(seq)
	if err != nil {
		t.Fatalf("cursor %d: got %v, want a position", seq, err)
	}
	return pos
}

func TestCursor_SeqsSkip_ReadsAfterNamedEvent(t *testing.T) {
	l := New(0, wide)
	l.Append(piece("a"), numbered(3))
	l.Append(piece("b"))
	l.Append(piece("c"))
	l.Append(numbered(7))
	l.Advance(9)
	l.Append(piece("d"))
	for seq, want := range map[int64]string{
		0: "a<3>bc<7>d", 1: "a<3>bc<7>d", 2: "a<3>bc<7>d", 3: "bc<7>d", 4: "bc<7>d", 6: "bc<7>d", 7: "d", 8: "d", 9: "d", 99: "d",
	} {
		mustRest(t, l, mustCursor(t, l, seq), want)
	}
	if got := l.Head(); got != 9 {
		t.Errorf("head: got %d, want 9", got)
	}
}

func TestAppend_RepeatedSeq_AddsNothing(t *testing.T) {
	l := New(4, wide)
	for seq, want := range map[int64]bool{4: false, 1: false, 5: true} {
		if got := l.Append(piece("x"), numbered(seq)); got != want {
			t.Errorf("append %d: got %t, want %t", seq, got, want)
		}
	}
	if l.Append(piece("y"), numbered(5)) {
		t.Error("append 5 again: got true, want false")
	}
	mustRest(t, l, mustCursor(t, l, 4), "x<5>")
	if _, err := l.Cursor(3); !errors.Is(err, ErrTrimmed) {
		t.Errorf("before the base: got %v, want ErrTrimmed", err)
	}
}

// TestTrim_EveryOrder_GroupsStayWhole checks every log that three kinds of events in any
// order can produce, at several limits: a reader that starts right after the base gets
// every entry since, and a reader that gets fewer gets ErrTrimmed.
func TestTrim_EveryOrder_GroupsStayWhole(t *testing.T) {
	const length = 7
	kinds := [][]string{{"u"}, {"N"}, {"u", "N"}}
	for _, limits := range []Limits{{Events: 1, Bytes: 1 << 20}, {Events: 3, Bytes: 1 << 20}, {Events: 1000, Bytes: 9}, {Events: 4, Bytes: 20}} {
		limits.Compact = join
		for code := range 2187 { // 3^7
			l := New(0, limits)
			after := map[int64]string{0: ""} // seq → everything after it
			seq := int64(0)
			for at := range length {
				var group []Entry
				var text string
				for _, k := range kinds[code/pow(3, at)%3] {
					e := piece(fmt.Sprintf("u%d", at))
					if k == "N" {
						seq++
						e = numbered(seq)
					}
					group = append(group, e)
					text += string(e.Frame)
				}
				kept := l.Append(group...)
				for s := range after {
					after[s] += text
				}
				if group[len(group)-1].Seq != 0 {
					after[seq] = ""
				}
				if !kept {
					break // dropped completely; see TestCompact_RunStaysTooLarge_Dropped
				}
				base := l.Base()
				for s, want := range after {
					pos, err := l.Cursor(s)
					if s < base {
						if !errors.Is(err, ErrTrimmed) {
							t.Fatalf("limits %v, log %d: cursor %d below base %d: got %v, want ErrTrimmed", limits, code, s, base, err)
						}
						continue
					}
					if got, _, _ := rest(l, pos); err != nil || got != want {
						t.Fatalf("limits %v, log %d, after %d events, cursor %d (base %d): got %q, %v, want %q", limits, code, at+1, s, base, got, err, want)
					}
				}
				if events, _ := l.Size(); events > max(limits.Events, 2)+2 {
					t.Fatalf("limits %v, log %d: got %d events kept", limits, code, events)
				}
			}
		}
	}
}

func pow(base, exp int) int {
	n := 1
	for range exp {
		n *= base
	}
	return n
}

func TestTrim_NewestTooLarge_Kept(t *testing.T) {
	l := New(0, Limits{Events: 10, Bytes: 8})
	l.Append(numbered(1))
	l.Append(Entry{2, []byte(strings.Repeat("x", 100))})
	mustRest(t, l, mustCursor(t, l, 1), strings.Repeat("x", 100))
	if got := l.Base(); got != 1 {
		t.Errorf("base: got %d, want 1", got)
	}
	l.Append(numbered(3))
	if events, size := l.Size(); events != 1 || size != 3 {
		t.Errorf("size: got %d events of %d bytes, want 1 of 3", events, size)
	}
}

func TestCompact_ReaderAtEndOfRun_ReadsOn(t *testing.T) {
	l := New(0, Limits{Events: 4, Bytes: 1 << 20, Compact: join})
	l.Append(numbered(1))
	early := mustCursor(t, l, 1)
	pos := early
	var all, heard strings.Builder
	var places []int64 // one position inside the run for every step
	for i := range 40 {
		text := fmt.Sprintf("%d.", i)
		all.WriteString(text)
		l.Append(piece(text))
		got, next, err := rest(l, pos)
		if err != nil || got != text {
			t.Fatalf("step %d: a reader at the end got %q, %v, want %q", i, got, err, text)
		}
		heard.WriteString(got)
		places = append(places, pos)
		pos = next
		mustRest(t, l, mustCursor(t, l, 1), all.String())
		// A reader that stopped at an earlier step gets everything since, or ErrTrimmed.
		for at, old := range places {
			got, _, err := rest(l, old)
			if want := all.String()[len(all.String())-len(rejoin(at, i)):]; err == nil && got != want {
				t.Fatalf("step %d, stopped before %d: got %q, want %q or ErrTrimmed", i, at, got, want)
			}
		}
	}
	if heard.String() != all.String() {
		t.Errorf("heard %q, want %q", heard.String(), all.String())
	}
	if _, _, err := rest(l, early); !errors.Is(err, ErrTrimmed) {
		t.Errorf("a reader at the start of the run: got %v, want ErrTrimmed", err)
	}
	l.Append(numbered(2))
	mustRest(t, l, pos, "<2>")
	mustRest(t, l, mustCursor(t, l, 2), "")
}

// rejoin returns the text of the steps in [from, to).
func rejoin(from, to int) string {
	var b strings.Builder
	for i := from; i <= to; i++ {
		fmt.Fprintf(&b, "%d.", i)
	}
	return b.String()
}

func TestCompact_RunStaysTooLarge_Dropped(t *testing.T) {
	for name, compact := range map[string]func([]Entry) []Entry{"nothing compacts": nil, "compacted still too large": join} {
		t.Run(name, func(t *testing.T) {
			l := New(0, Limits{Events: 5, Bytes: 10, Compact: compact})
			l.Append(numbered(1))
			pos := mustCursor(t, l, 1)
			forgotten := false
			for range 30 {
				kept := l.Append(piece("12345"))
				_, next, err := rest(l, pos)
				if !kept {
					forgotten = true
					if !errors.Is(err, ErrTrimmed) {
						t.Fatalf("a reader of a forgotten run: got %v, want ErrTrimmed", err)
					}
					break
				}
				if err != nil {
					t.Fatalf("a reader at the end: got %v", err)
				}
				pos = next
			}
			if !forgotten {
				t.Fatal("150 bytes in a log of 10: got all kept")
			}
			if !l.Append(numbered(2)) {
				t.Error("append after that: got false, want true")
			}
			mustRest(t, l, mustCursor(t, l, 1), "<2>")
		})
	}
}

func TestClose_UnreadEvents_ReadToEnd(t *testing.T) {
	l := New(0, wide)
	l.Append(numbered(1))
	calls := 0
	l.Watch(func() { calls++ })
	l.Close()
	l.Close()
	if calls != 1 {
		t.Errorf("closed twice: got %d calls of the watcher, want 1", calls)
	}
	if l.Append(numbered(2)) || l.Append(piece("x")) {
		t.Error("append to a closed log: got true, want false")
	}
	got, _, err := rest(l, 0)
	if got != "<1>" || !errors.Is(err, ErrClosed) {
		t.Errorf("got %q, %v, want <1>, ErrClosed", got, err)
	}
}

func TestWatch_EveryChange_Called(t *testing.T) {
	l := New(0, wide)
	calls := 0
	l.Watch(func() { calls++ })
	for name, change := range map[string]func(){
		"append": func() { l.Append(numbered(l.Head() + 1)) }, "notify": l.Notify, "advance": func() { l.Advance(l.Head() + 1) },
	} {
		calls = 0
		if change(); calls != 1 {
			t.Errorf("%s: got %d calls of the watcher, want 1", name, calls)
		}
	}
	calls = 0
	if l.Advance(1); calls != 0 {
		t.Error("advance to what is past: woken")
	}
}

// waker wakes one reader.
type waker chan struct{}

func (w waker) OnAppend() {
	select {
	case w <- struct{}{}:
	default:
	}
}

func TestRead_ManyReadersDuringAppend_SameEvents(t *testing.T) {
	const events, readers = 2000, 16
	l := New(0, Limits{Events: events, Bytes: 1 << 30})
	var watchers Watchers
	l.Watch(watchers.Notify)
	want := make([]int64, events)
	for i := range want {
		want[i] = int64(i + 1)
	}
	var wg sync.WaitGroup
	for range readers {
		wg.Go(func() {
			var got []int64
			var watch Watch
			changed := make(waker, 1)
			watchers.Add(&watch, changed)
			defer watchers.Remove(&watch)
			buf := make([]Entry, 7)
			for pos := int64(0); ; {
				n, next, err := l.Read(pos, buf)
				for _, e := range buf[:n] {
					got = append(got, e.Seq)
				}
				pos = next
				if errors.Is(err, ErrClosed) {
					break
				}
				if n == 0 {
					<-changed
				}
			}
			if !slices.Equal(got, want) {
				t.Errorf("got %d events, want %d in order", len(got), len(want))
			}
		})
	}
	for _, seq := range want {
		l.Append(numbered(seq))
	}
	l.Close()
	wg.Wait()
}

func BenchmarkAppend(b *testing.B) {
	l := New(0, Limits{Events: 2000, Bytes: 1 << 20})
	frame := make([]byte, 100)
	b.ReportAllocs()
	for seq := int64(1); b.Loop(); seq++ {
		l.Append(Entry{Seq: seq, Frame: frame})
	}
}

func BenchmarkAppendAndRead(b *testing.B) {
	for _, readers := range []int{1, 100} {
		b.Run(fmt.Sprintf("%d readers", readers), func(b *testing.B) {
			l := New(0, Limits{Events: 2000, Bytes: 1 << 20})
			frame := bytes.Repeat([]byte("x"), 200)
			at := make([]int64, readers)
			buf := make([]Entry, 64)
			b.ReportAllocs()
			seq := int64(0)
			for b.Loop() {
				seq++
				l.Append(Entry{seq, frame})
				for i := range at {
					_, at[i], _ = l.Read(at[i], buf)
				}
			}
		})
	}
}

func TestHold_SeveralAppends_OneWake(t *testing.T) {
	l := New(0, Limits{Events: 10, Bytes: 1000})
	changed := false
	l.Watch(func() { changed = true })
	woken := func() bool {
		was := changed
		changed = false
		return was
	}
	l.Hold()
	l.Append(Entry{Seq: 1, Frame: []byte("a")})
	l.Append(Entry{Seq: 2, Frame: []byte("b")})
	l.Advance(3)
	if woken() {
		t.Error("readers were woken while the log was held")
	}
	if n, _, _ := l.Read(0, make([]Entry, 4)); n != 2 {
		t.Errorf("got %d entries, want 2: what is held can be read", n)
	}
	l.Release()
	if !woken() {
		t.Error("readers were not woken when the log was released")
	}
	l.Release()
	if woken() {
		t.Error("readers were woken for nothing")
	}
	l.Append(Entry{Seq: 4, Frame: []byte("c")})
	if !woken() {
		t.Error("readers were not woken by a log that is not held")
	}
}

func TestLog_Newest_NotAHiddenHead(t *testing.T) {
	l := New(4, wide)
	want := func(newest int64) {
		t.Helper()
		if got := l.Newest(); got != newest {
			t.Errorf("newest: got %d, want %d", got, newest)
		}
	}
	want(4)
	l.Advance(5)
	want(5) // of an empty log, the head
	l.Append(numbered(6), piece("x"))
	l.Append(piece("y"))
	l.Advance(9)
	want(6)
	l.Append(numbered(10))
	want(10)
}
