package telemetry

import (
	"runtime"
	"testing"
	"time"
)

// A stream keeps the info of its request for as long as it is open, and nothing else of
// the request.
func TestDetach_StreamGoesOn_RequestFreed(t *testing.T) {
	freed := make(chan struct{})
	info := NewRequest()
	finish := func() func() {
		request := new([4 << 10]byte)
		runtime.AddCleanup(request, func(int) { close(freed) }, 0)
		info.OnFinish(func() func() {
			size := len(request[:])
			return func() { _ = size }
		})
		return info.Detach()
	}()
	look := time.NewTicker(time.Millisecond)
	defer look.Stop()
	for range 2000 {
		runtime.GC()
		select {
		case <-freed:
			finish()
			info.Finish()
			return
		case <-look.C:
		}
	}
	t.Error("got the request kept while its stream goes on, want it freed")
	runtime.KeepAlive(info)
}
