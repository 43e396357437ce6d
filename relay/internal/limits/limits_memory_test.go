//go:build !race

package limits

import (
	"fmt"
	"testing"
	"time"
)

func TestWindow_FloodFromMillionAddresses_CostsNoMemory(t *testing.T) {
	const addresses, limit = 1_000_000, 120
	before := inUse()
	l := newWindow(Rate{limit, time.Hour})
	for range limit / 2 {
		if err := l.take("192.0.2.1"); err != nil {
			t.Fatalf("half of what may be: got %v, want none refused", err)
		}
	}
	for i := range addresses {
		if err := l.take(fmt.Sprintf("%d.%d.%d.%d", i>>18, i>>12&63, i>>6&63, i&63)); err != nil {
			t.Fatalf("address %d: got %v, want its one request let through", i, err)
		}
	}
	grown := inUse() - before
	t.Logf("%d addresses: %d bytes", addresses, grown)
	if grown > 8<<20 {
		t.Errorf("got %d bytes in use for %d addresses, want no more than for one", grown, addresses)
	}
	// A client that sends few requests is not mistaken for a flooding one, which is
	// detected.
	for i := range limit / 4 {
		if err := l.take("192.0.2.1"); err != nil {
			t.Fatalf("request %d of one among a million: got %v, want it let through", limit/2+i+1, err)
		}
	}
	let := 0
	for range 2 * limit {
		if l.take("203.0.113.1") == nil {
			let++
		}
	}
	if let > limit || let < limit/2 {
		t.Errorf("of one who floods: got %d let through, want near %d and not above", let, limit)
	}
}
