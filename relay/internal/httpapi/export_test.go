package httpapi

import (
	"net/http"
	"os"
	"testing"
	"testing/synctest"
	"time"
)

// trickle is a client that reads a number of bytes per second.
type trickle struct {
	http.ResponseWriter
	perSecond int
	deadline  time.Time
}

func (c *trickle) SetWriteDeadline(t time.Time) error {
	c.deadline = t
	return nil
}

func (c *trickle) Write(b []byte) (int, error) {
	takes := time.Duration(len(b)) * time.Second / time.Duration(c.perSecond)
	if left := time.Until(c.deadline); left < takes {
		time.Sleep(max(left, 0))
		return 0, os.ErrDeadlineExceeded
	}
	time.Sleep(takes)
	return len(b), nil
}

func TestSlowWriter_ClientReadsSlowly_CutOff(t *testing.T) {
	const size = 10 << 20
	for perSecond, want := range map[int]bool{8 << 10: false, slowest / 2: false, slowest: true, 10 << 20: true} {
		synctest.Test(t, func(t *testing.T) {
			client := &trickle{perSecond: perSecond}
			out := &slowWriter{ResponseWriter: client, control: http.NewResponseController(client)}
			began := time.Now()
			var err error
			for sent := 0; err == nil && sent < size; sent += 32 << 10 {
				time.Sleep(time.Second) // AnyFrame is slow, too, which is not the client's fault
				_, err = out.Write(make([]byte, 32<<10))
			}
			if (err == nil) != want {
				t.Errorf("%d bytes per second: got %v after %v, want it complete: %v", perSecond, err, time.Since(began), want)
			}
		})
	}
}
