package anyframe

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"net/http/httputil"
	"strings"
	"testing"
)

// dechunk undoes the chunks of text, read size bytes at a time, as a stream does.
func dechunk(text []byte, size int) (string, error) {
	var c chunks
	var all []byte
	for p := make([]byte, size); ; {
		n := copy(p, text)
		if n == 0 {
			return string(all), io.ErrUnexpectedEOF
		}
		text = text[n:]
		n, done, err := c.decode(p[:n])
		all = append(all, p[:n]...)
		if done || err != nil {
			return string(all), err
		}
	}
}

func TestChunksAreUndoneWhereverTheyAreCut(t *testing.T) {
	tooMuch := "1;" + strings.Repeat("x", 4000) + "\r\na\r\n"
	for name, test := range map[string]struct {
		text, want string
		err        error
	}{
		"two chunks":                {"5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n", "hello world", nil},
		"no chunk":                  {"0\r\n\r\n", "", nil},
		"digits of both cases":      {"a\r\n0123456789\r\nA\r\n0123456789\r\n0A\r\n0123456789\r\n00\r\n\r\n", strings.Repeat("0123456789", 3), nil},
		"line ends as data":         {"4\r\n\r\n\r\n\r\n0\r\n\r\n", "\r\n\r\n", nil},
		"extensions":                {"1;a=\"b;c\"\r\na\r\n0;x\r\n\r\n", "a", nil},
		"blanks behind the size":    {"1 \t\r\na\r\n0 \r\n\r\n", "a", nil},
		"trailers":                  {"1\r\na\r\n0\r\nA: b\r\nC: d\r\n\r\n", "a", nil},
		"bytes after the last":      {"1\r\na\r\n0\r\n\r\nHTTP/1.1 200 OK\r\n", "a", nil},
		"cut in the size":           {"1\r\na\r\n1", "a", io.ErrUnexpectedEOF},
		"cut in the data":           {"5\r\nhel", "hel", io.ErrUnexpectedEOF},
		"cut behind the data":       {"1\r\na", "a", io.ErrUnexpectedEOF},
		"cut between two chunks":    {"1\r\na\r\n", "a", io.ErrUnexpectedEOF},
		"cut before the last LF":    {"1\r\na\r\n0\r\n\r", "a", io.ErrUnexpectedEOF},
		"cut in the trailers":       {"0\r\nA: b\r\n", "", io.ErrUnexpectedEOF},
		"too small a size":          {"1\r\nab\r\n", "a", errChunk},
		"too large a size":          {"3\r\na\r\n0\r\n\r\n", "a\r\n", errChunk},
		"CR without LF behind data": {"1\r\na\rb", "a", errChunk},
		"no size":                   {"\r\na\r\n", "", errChunk},
		"only an extension":         {";a\r\n\r\n", "", errChunk},
		"no digit":                  {"1g\r\na", "", errChunk},
		"a sign":                    {"-1\r\na", "", errChunk},
		"a blank before the size":   {" 1\r\na", "", errChunk},
		"a blank in the size":       {"1 1\r\na", "", errChunk},
		"a bare LF":                 {"1\na\r\n", "", errChunk},
		"a bare LF behind blanks":   {"1;a\na\r\n", "", errChunk},
		"a bare CR":                 {"1;a\rb\r\n", "", errChunk},
		"17 digits":                 {"00000000000000001\r\na\r\n", "", errChunk},
		"a bare LF in the trailers": {"0\r\nA: b\n\r\n", "", errChunk},
		"a bare CR in the trailers": {"0\r\nA: b\rC\r\n", "", errChunk},
		"a long size line":          {"1;" + strings.Repeat("x", maxChunkLine) + "\r\na\r\n", "", errChunk},
		"long trailers":             {"0\r\n" + strings.Repeat("A: b\r\n", maxTrailer/6+1), "", errChunk},
		"hardly any data":           {strings.Repeat(tooMuch, 5), "aaaa", errOverhead},
	} {
		for _, size := range []int{1, 2, 3, 7, 1 << 20} {
			if got, err := dechunk([]byte(test.text), size); got != test.want || !errors.Is(err, test.err) || (err == nil) != (test.err == nil) {
				t.Errorf("%s, %d bytes at a time: got %q, %v, want %q, %v", name, size, got, err, test.want, test.err)
			}
		}
	}
}

// FuzzChunks holds our reader of chunks against net/http's.
func FuzzChunks(f *testing.F) {
	for _, text := range []string{
		"5\r\nhello\r\n0\r\n\r\n", "1;a\r\na\r\n0\r\nA: b\r\n\r\n", "ffffffffffffffff\r\na", "1 \r\na\r\n0\t\r\n", "1\na", "5000000000000000\r\n",
		"0\r\n\r", strings.Repeat("1;"+strings.Repeat("x", 4000)+"\r\na\r\n", 6),
	} {
		f.Add([]byte(text), uint8(3))
	}
	f.Fuzz(func(t *testing.T, text []byte, size uint8) {
		rest := bufio.NewReader(bytes.NewReader(text))
		data, theirs := io.ReadAll(httputil.NewChunkedReader(rest))
		if theirs == nil { // up to the last chunk; what is behind it is not theirs
			switch trailer, _ := io.ReadAll(rest); {
			case bytes.HasPrefix(trailer, []byte("\r\n")):
			case string(trailer) == "" || string(trailer) == "\r":
				theirs = io.ErrUnexpectedEOF
			default:
				return
			}
		}
		got, ours := dechunk(text, max(int(size), 1))
		if got != string(data) || (ours == nil) != (theirs == nil) {
			t.Errorf("got %q, %v, want %q, %v", got, ours, data, theirs)
		}
	})
}
