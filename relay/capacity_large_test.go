//go:build !race

package relay_test

import "testing"

func TestCapacity_LargeFloodOfVisitors_LimitHolds(t *testing.T) {
	t.Parallel()
	flood(t, 10_000, 1000)
}
