package capacity

import (
	"context"
	"math"
	"slices"

	"github.com/anyframe-relay/relay/relay/internal/store"
)

// The store counts the sandboxes of all sites together. A site with a limit of its own
// reads the list of awake sandboxes, at most Max of them, to count its own.

// everyRank is above every possible rank.
const everyRank = 1 << 50

// awakeOwn returns the sandboxes of this site that are counted as awake.
func (g *Gate) awakeOwn(ctx context.Context) ([]store.Awake, error) {
	all, err := g.Store.Idlest(ctx, everyRank, math.MaxInt32)
	return slices.DeleteFunc(all, func(a store.Awake) bool { return a.Foreign }), err
}

// ownFull reports whether the site has reached its own limit.
func (g *Gate) ownFull(ctx context.Context) (bool, error) {
	limit := int(g.own.Load())
	if limit == 0 {
		return false, nil
	}
	own, err := g.awakeOwn(ctx)
	return len(own) >= limit, err
}

// overOwn reports whether a sandbox that was admitted with this ticket exceeds the site's
// limit. Of several that are admitted at once, those with the lowest tickets stay.
func (g *Gate) overOwn(ctx context.Context, ticket int64) (bool, error) {
	limit := int(g.own.Load())
	if limit == 0 {
		return false, nil
	}
	own, err := g.awakeOwn(ctx)
	before := 0
	for _, a := range own {
		if a.Ticket < ticket {
			before++
		}
	}
	return before >= limit, err
}

// idlest returns at most n of the sandboxes that could be put to sleep: those of any
// site, or only the site's own if it has reached its limit.
func (g *Gate) idlest(ctx context.Context, n int) ([]store.Awake, error) {
	over, err := g.ownFull(ctx)
	if err != nil || !over {
		if err == nil {
			return g.Store.Idlest(ctx, Busy, n)
		}
		return nil, err
	}
	all, err := g.Store.Idlest(ctx, Busy, math.MaxInt32)
	own := slices.DeleteFunc(all, func(a store.Awake) bool { return a.Foreign })
	return own[:min(len(own), n)], err
}
