package visitor

import (
	"crypto/rand"
	"maps"
	"strings"
	"testing"
	"time"
)

// A stored row decodes to the same values, whatever the visitor's id, and is smallest
// with one of our own ids.
func TestCodec_VisitorRow_SmallAndDecoded(t *testing.T) {
	t.Parallel()
	deadline := time.UnixMilli(time.Now().UnixMilli())
	ours := rand.Text()
	for _, id := range []string{
		ours, rand.Text(), strings.Repeat("7", 26), strings.Repeat("A", 26), strings.ToLower(ours), ours[1:], ours + "A",
		ours[1:] + "\n", ours[1:] + "=", "\n" + ours, "someone", "späße",
		strings.Repeat("A", 18) + strings.Repeat("\n", 8),
	} {
		for flags := range 4 {
			want := map[string]any{"visitor": id, "identified": flags&1 != 0, "provisional": flags&2 != 0}
			row, err := Codec{}.Encode(deadline, want)
			if err != nil {
				t.Fatal(err)
			}
			when, got, err := Codec{}.Decode(row)
			if err != nil || !when.Equal(deadline) || !maps.Equal(got, want) {
				t.Errorf("got %v until %v, error %v, want %v until %v", got, when, err, want, deadline)
			}
			if most := 28; id == ours && len(row) > most {
				t.Errorf("got %d bytes of one of our ids, want at most %d", len(row), most)
			}
		}
	}
}
