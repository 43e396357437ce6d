//go:build !race

package relay_test

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"
)

// Bodies arrive except for their last byte, as many as the network may hold and more.
func TestMessageBody_LargeAndHeld_NeighbourAttachmentAccepted(t *testing.T) {
	t.Parallel()
	for origin, addr := range attackers {
		t.Run(origin, func(t *testing.T) {
			n := newNeighbour(t, nil, longTalk)
			const size = 20 << 20
			body := append([]byte(`{"text":"`), strings.Repeat("x", size-10)...)
			var wg sync.WaitGroup
			for i := range 16 {
				v := n.r.visitor()
				wg.Go(func() {
					c := v.dial(fmt.Sprintf("POST /v1/messages HTTP/1.1\r\nContent-Length: %d", size), addr(i))
					_ = c.SetWriteDeadline(time.Now().Add(patience))
					_, _ = c.Write(body) // it is refused midway, or held
				})
			}
			wg.Wait()
			n.attaches("while bodies are held")
		})
	}
}
