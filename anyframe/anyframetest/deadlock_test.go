package anyframetest_test

import (
	"context"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/anyframe-relay/relay/anyframe/anyframetest"
)

// Over HTTP/2, one goroutine of a connection handles both deadlines set by this
// package and the end of a stream. Neither may block the other.
func TestCutStreams_HTTP2ClientsLeaveMeanwhile_NothingHangs(t *testing.T) {
	cp := anyframetest.Start(t, anyframetest.WithTLS())
	client := secureClient(t, cp)
	id := secureSession(t, client, cp)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for range 100 {
			var all sync.WaitGroup
			ctx, cancel := context.WithCancel(t.Context())
			for range 10 {
				all.Go(func() {
					req, _ := http.NewRequestWithContext(ctx, http.MethodGet, cp.URL()+"/api/sessions/"+id+"/events", nil)
					req.Header.Set("Authorization", "Bearer "+cp.Key())
					if res, err := client.Do(req); err == nil {
						res.Body.Close()
					}
				})
			}
			time.Sleep(time.Millisecond)
			all.Go(cancel)
			all.Go(cp.CutStreams)
			all.Wait()
		}
	}()
	select {
	case <-done:
	case <-time.After(time.Minute):
		t.Fatal("it hangs")
	}
}
