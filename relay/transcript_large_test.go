//go:build !race

package relay_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/anyframe-relay/relay/anyframe/anyframetest"
)

// A page ends before the event that does not fit, wherever that is: nothing is omitted,
// repeated or out of order, whatever belongs to the next event.
func TestTranscript_LargerThanPage_EveryEventOnce(t *testing.T) {
	t.Parallel()
	for name, opts := range map[string][]anyframetest.Option{
		"messages in the log": nil,
		"messages of ours":    {anyframetest.WithoutUserEcho()},
		"steps of seven":      {anyframetest.WithoutUserEcho(), anyframetest.WithSeqStep(7)},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newHarness(t, nil, append(opts, anyframetest.WithAgent(1, func(c *anyframetest.Chat) {
				for i := range 12 {
					c.Emit(map[string]any{"type": "weather", "sky": strings.Repeat("blue", i)}) // not shown to visitors
					c.Emit(map[string]any{"type": "assistant", "message": map[string]any{"content": []any{map[string]any{"type": "text", "text": fmt.Sprint(i, strings.Repeat(" word", 7000))}}}})
				}
			}))...)
			v := r.visitor()
			x := v.open("")
			const turns = 6
			for i := range turns {
				v.say(fmt.Sprint("turn ", i, strings.Repeat(" more", 1000)), fmt.Sprint("k", i))
				x.turnEnds(i + 1)
			}
			y := v.open("")
			y.turnEnds(turns)
			want := strings.Join(wholeStory(y), "\n")
			for _, limit := range []int{1, 7, 200, 1000} {
				got, sizes := v.pages(limit)
				if strings.Join(got, "\n") != want {
					t.Errorf("limit %d: got\n%s\nwant\n%s", limit, strings.Join(got, "\n"), want)
				}
				for i, size := range sizes {
					if size > pageLimit {
						t.Errorf("limit %d, page %d: got %d bytes, want %d at most", limit, i, size, pageLimit)
					}
				}
				if limit == 1000 && (len(sizes) < 3 || len(sizes) > 4 || sizes[0] < pageLimit*9/10) {
					t.Errorf("limit 1000: got pages of %v bytes, want 2.6 MB on full pages", sizes)
				}
			}
		})
	}
}
