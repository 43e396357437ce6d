package sse

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/iotest"
	"time"
)

const maxFrame = 16 << 20

var update = flag.Bool("update", false, "rewrite the golden files")

// decode reads a whole stream and describes it.
func decode(r io.Reader, limit int) (frames []Frame, d *Decoder, err error) {
	d = NewDecoder(r, limit)
	frames, err = readAll(d)
	return frames, d, err
}

func readAll(d *Decoder) (frames []Frame, err error) {
	for {
		f, err := d.Next()
		if err != nil {
			return frames, err
		}
		frames = append(frames, f)
	}
}

func describe(r io.Reader) string {
	return describeRest(NewDecoder(r, maxFrame), nil)
}

// describeRest describes the rest of a stream, after frames.
func describeRest(d *Decoder, frames []Frame) string {
	rest, err := readAll(d)
	frames = append(frames, rest...)
	var b strings.Builder
	for _, f := range frames {
		fmt.Fprintf(&b, "id=%q name=%q data=%q\n", f.ID, f.Name, f.Data)
	}
	fmt.Fprintf(&b, "end=%v last_id=%q", err, d.lastID)
	if d.retryGiven {
		fmt.Fprintf(&b, " retry=%v", d.retry)
	}
	return b.String() + "\n"
}

func TestDecoder_AnySplit_SameEvents(t *testing.T) {
	files, err := filepath.Glob("testdata/*.sse")
	if err != nil || len(files) < 15 {
		t.Fatalf("got %d corpus files, %v, want at least 15", len(files), err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			input, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			golden := strings.TrimSuffix(file, ".sse") + ".golden"
			got := describe(bytes.NewReader(input))
			if *update {
				if err := os.WriteFile(golden, []byte(got), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if got != string(want) {
				t.Fatalf("whole: got\n%swant\n%s", got, want)
			}
			for at := range len(input) + 1 {
				parts := io.MultiReader(bytes.NewReader(input[:at]), bytes.NewReader(input[at:]))
				if got := describe(parts); got != string(want) {
					t.Fatalf("split at %d: got\n%swant\n%s", at, got, want)
				}
			}
			if got := describePushed(t, input); got != string(want) {
				t.Fatalf("pushed byte by byte: got\n%swant\n%s", got, want)
			}
			if got := describe(iotest.OneByteReader(bytes.NewReader(input))); got != string(want) {
				t.Fatalf("byte by byte: got\n%swant\n%s", got, want)
			}
			if got := describe(iotest.DataErrReader(bytes.NewReader(input))); got != string(want) {
				t.Fatalf("EOF along with the data: got\n%swant\n%s", got, want)
			}
		})
	}
}

func TestDecoder_CR_EventWithoutWaitingForLF(t *testing.T) {
	pr, pw := io.Pipe()
	t.Cleanup(func() { pr.Close() })
	d := NewDecoder(pr, maxFrame)
	say := func(text string) {
		if _, err := io.WriteString(pw, text); err != nil {
			t.Error(err)
		}
	}
	var writer sync.WaitGroup
	writer.Go(func() { say("data: one\r\n\r") })
	f, err := d.Next() // blocks forever if it waits for the LF
	writer.Wait()
	if err != nil || string(f.Data) != "one" {
		t.Fatalf("got %q, %v, want one", f.Data, err)
	}
	writer.Go(func() {
		say("\ndata: two\r\n\r\n")
		pw.Close()
	})
	f, err = d.Next()
	if err != nil || string(f.Data) != "two" {
		t.Fatalf("got %q, %v, want two", f.Data, err)
	}
	if _, err := d.Next(); !errors.Is(err, io.EOF) {
		t.Fatalf("got %v, want EOF", err)
	}
	writer.Wait()
}

func TestDecoder_LongLine_AcceptedUpToLimit(t *testing.T) {
	for _, size := range []int{100, ownBuffer, 4 << 10, lentBuffer, 2 << 20} {
		data := strings.Repeat("x", size)
		frames, d, err := decode(strings.NewReader("id: 1\ndata: "+data+"\n\ndata: y\n\n"), maxFrame)
		if !errors.Is(err, io.EOF) || len(frames) != 2 || string(frames[0].Data) != data || string(frames[1].Data) != "y" {
			t.Errorf("size %d: got %d frames, %v, want 2 and EOF", size, len(frames), err)
		}
		if cap(d.data) > 0 {
			t.Errorf("size %d: got %d bytes kept, want none", size, cap(d.data))
		}
	}
}

func TestDecoder_LargeBuffer_Released(t *testing.T) {
	large := "data: " + strings.Repeat("x", 1<<20) + "\n\n"
	small := "data: y\n\n"
	d := NewDecoder(io.MultiReader(strings.NewReader(large), iotest.OneByteReader(strings.NewReader(small))), 2<<20)
	for range 2 {
		if _, err := d.Next(); err != nil {
			t.Fatal(err)
		}
	}
	if len(d.buf) != ownBuffer || d.lent != nil {
		t.Fatalf("got a buffer of %d, want %d", len(d.buf), ownBuffer)
	}
}

func TestDecoder_BusyStream_LargeReads(t *testing.T) {
	var b strings.Builder
	for i := range 4000 {
		fmt.Fprintf(&b, "id: %d\ndata: event %d\n\n", i+1, i+1)
	}
	r := &measuring{r: strings.NewReader(b.String())}
	d := NewDecoder(io.MultiReader(r, iotest.OneByteReader(strings.NewReader("data: last\n\n"))), maxFrame)
	for i := range 4000 {
		if f, err := d.Next(); err != nil || f.ID != fmt.Sprint(i+1) || string(f.Data) != fmt.Sprintf("event %d", i+1) {
			t.Fatalf("event %d: got %q %q, %v", i+1, f.ID, f.Data, err)
		}
	}
	if r.most <= ownBuffer || r.most > lentBuffer {
		t.Errorf("got reads of up to %d bytes, want more than %d and at most %d", r.most, ownBuffer, lentBuffer)
	}
	if f, err := d.Next(); err != nil || string(f.Data) != "last" {
		t.Fatalf("got %q, %v, want last", f.Data, err)
	}
	if len(d.buf) != ownBuffer || d.lent != nil {
		t.Errorf("a quiet stream has a buffer of %d, want %d", len(d.buf), ownBuffer)
	}
}

func TestDecoder_EventOverLimit_Error(t *testing.T) {
	const limit = 1000
	tests := map[string]string{
		"one line":                 "data: " + strings.Repeat("x", limit) + "\n\n",
		"one line without an end":  "data: " + strings.Repeat("x", 10*limit),
		"many lines":               strings.Repeat("data: xxxxxxxxxx\n", limit/10) + "\n",
		"many fields of no use":    strings.Repeat("unknown: xxxxxxxx\n", limit/10) + "\n",
		"a field name with no end": strings.Repeat("x", 10*limit),
	}
	for name, input := range tests {
		for how, r := range map[string]io.Reader{
			"whole":  strings.NewReader(input),
			"slowly": iotest.OneByteReader(strings.NewReader(input)),
		} {
			if frames, _, err := decode(r, limit); !errors.Is(err, ErrTooLarge) || len(frames) != 0 {
				t.Errorf("%s, %s: got %d frames, %v, want ErrTooLarge", name, how, len(frames), err)
			}
		}
	}
	within := strings.Repeat("data: x\n\n", limit) // each event is small
	if frames, _, err := decode(strings.NewReader(within), limit); !errors.Is(err, io.EOF) || len(frames) != limit {
		t.Errorf("small events: got %d, %v, want %d and EOF", len(frames), err, limit)
	}
}

func TestDecoder_LongComment_NotBuffered(t *testing.T) {
	comment := ":" + strings.Repeat("x", 1<<20) + "\n"
	r := &measuring{r: strings.NewReader("data: a\n" + comment + "data: b\n\n")}
	frames, _, err := decode(r, 100)
	if !errors.Is(err, io.EOF) || len(frames) != 1 || string(frames[0].Data) != "a\nb" {
		t.Fatalf("got %d frames, %v, want one and EOF", len(frames), err)
	}
	if r.most > lentBuffer {
		t.Fatalf("got a buffer with room for %d, want at most %d", r.most, lentBuffer)
	}
}

// measuring records the largest buffer that it was given.
type measuring struct {
	r    io.Reader
	most int
}

func (m *measuring) Read(p []byte) (int, error) {
	m.most = max(m.most, len(p))
	return m.r.Read(p)
}

func TestDecoder_ReadError_Returned(t *testing.T) {
	broken := errors.New("broken")
	frames, _, err := decode(io.MultiReader(strings.NewReader("data: one\n\ndata: tw"), iotest.ErrReader(broken)), 1000)
	if !errors.Is(err, broken) || len(frames) != 1 {
		t.Fatalf("got %d frames, %v, want 1 and %v", len(frames), err, broken)
	}
	if _, _, err := decode(emptyReader{}, 1000); !errors.Is(err, io.ErrNoProgress) {
		t.Fatalf("got %v, want ErrNoProgress", err)
	}
}

// emptyReader reads nothing, forever.
type emptyReader struct{}

func (emptyReader) Read([]byte) (int, error) { return 0, nil }

func TestDecoder_HugeRetry_Bounded(t *testing.T) {
	_, d, _ := decode(strings.NewReader("retry: 99999999999999999999999999\n\n"), 1000)
	if d.retry < time.Hour {
		t.Fatalf("got %v, want something long and not overflowed", d.retry)
	}
}

func TestDecoder_Event_TwoAllocations(t *testing.T) {
	const events = 1000
	var input bytes.Buffer
	for i := range events {
		fmt.Fprintf(&input, "id: %d\nevent: message\ndata: {\"type\":\"assistant\",\"delta\":true}\n\n", 100+i)
	}
	perRun := testing.AllocsPerRun(5, func() {
		if frames := drain(bytes.NewReader(input.Bytes())); frames != events {
			t.Errorf("got %d events, want %d", frames, events)
		}
	})
	if perEvent := perRun / events; perEvent > 2.1 { // the id and the data
		t.Errorf("got %.2f allocations per event, want at most 2", perEvent)
	}
}

func TestDecoder_Data_OwnedByCaller(t *testing.T) {
	frames, _, err := decode(strings.NewReader("data: one\n\ndata: two\n\n"), maxFrame)
	if !errors.Is(err, io.EOF) || len(frames) != 2 || string(frames[0].Data) != "one" || string(frames[1].Data) != "two" {
		t.Errorf("got %q, %v, want one and two", frames, err)
	}
}

func drain(r io.Reader) int {
	d := NewDecoder(r, maxFrame)
	for n := 0; ; n++ {
		if _, err := d.Next(); err != nil {
			return n
		}
	}
}

// FuzzDecoder checks that a stream decodes the same however it is split, and that
// the decoded events, encoded again, decode to the same.
func FuzzDecoder(f *testing.F) {
	files, err := filepath.Glob("testdata/*.sse")
	if err != nil {
		f.Fatal(err)
	}
	for _, file := range files {
		input, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(input, len(input)/2)
	}
	f.Fuzz(func(t *testing.T, input []byte, at int) {
		whole := describe(bytes.NewReader(input))
		at = min(max(at, 0), len(input))
		if got := describe(io.MultiReader(bytes.NewReader(input[:at]), bytes.NewReader(input[at:]))); got != whole {
			t.Fatalf("split at %d: got\n%swant\n%s", at, got, whole)
		}
		if got := describe(iotest.OneByteReader(bytes.NewReader(input))); got != whole {
			t.Fatalf("byte by byte: got\n%swant\n%s", got, whole)
		}
		frames, _, err := decode(bytes.NewReader(input), maxFrame)
		if !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Fatalf("got %v, want an EOF", err)
		}
		var again bytes.Buffer
		for _, f := range frames {
			write(&again, f)
		}
		back, _, err := decode(&again, maxFrame)
		if !errors.Is(err, io.EOF) || !slices.EqualFunc(frames, back, same) {
			t.Fatalf("round trip: got %q, %v, want %q", back, err, frames)
		}
	})
}

func same(a, b Frame) bool { return a.ID == b.ID && a.Name == b.Name && bytes.Equal(a.Data, b.Data) }

// write writes a frame as a server would.
func write(w io.Writer, f Frame) {
	if f.ID != "" {
		fmt.Fprintf(w, "id: %s\n", f.ID)
	}
	if f.Name != "" {
		fmt.Fprintf(w, "event: %s\n", f.Name)
	}
	for line := range bytes.SplitSeq(f.Data, []byte("\n")) {
		fmt.Fprintf(w, "data: %s\n", line)
	}
	fmt.Fprint(w, "\n")
}

func BenchmarkDecoder(b *testing.B) {
	event := "id: 1234\ndata: {\"type\":\"assistant\",\"delta\":true,\"content\":[{\"type\":\"text\",\"text\":\"word \"}]}\n\n"
	input := []byte(strings.Repeat(event, 1000))
	b.SetBytes(int64(len(input)))
	b.ReportAllocs()
	for b.Loop() {
		drain(bytes.NewReader(input))
	}
}

// pushed is a reader that has only the bytes it was given, and never blocks.
type pushed struct{ bytes.Buffer }

func (p *pushed) Read(b []byte) (int, error) {
	if p.Len() == 0 {
		return 0, ErrWait
	}
	return p.Buffer.Read(b)
}

// describePushed gives a decoder one byte at a time, and releases its memory after
// each.
func describePushed(t *testing.T, input []byte) string {
	t.Helper()
	var in pushed
	var frames []Frame
	d := NewDecoder(&in, maxFrame)
	for _, b := range input {
		in.WriteByte(b)
		for {
			f, err := d.Next()
			if err == nil {
				frames = append(frames, f)
				continue
			}
			if !errors.Is(err, ErrWait) {
				t.Fatalf("in the middle: %v", err)
			}
			break
		}
		empty := d.start == d.end
		d.Release()
		if empty && d.buf != nil {
			t.Fatalf("got a buffer of %d bytes kept, want none", len(d.buf))
		}
	}
	d.r = bytes.NewReader(nil) // at its end
	return describeRest(d, frames)
}
