package jsonscan

import (
	"testing"
)

func TestPlain_AnyByteAtAnyOffset_EndFound(t *testing.T) {
	text := []byte("what stands for itself, from ' ' to ~\x7f")
	for at := range text {
		for c := range 256 {
			got := append([]byte(nil), text...)
			got[at] = byte(c)
			want := len(text)
			if c < ' ' || c >= 0x80 || c == '"' || c == '\\' {
				want = at
			}
			if n := Plain(got); n != want {
				t.Fatalf("%q: got %d, want %d", got, n, want)
			}
		}
	}
}
