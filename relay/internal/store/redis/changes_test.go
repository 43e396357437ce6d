package redis_test

import (
	"testing"

	"github.com/anyframe-relay/relay/relay/internal/store/redistest"
	"github.com/anyframe-relay/relay/relay/internal/store/storetest"
)

func TestGeneration_AnotherClientWrites_Another(t *testing.T) {
	t.Parallel()
	url := redistest.Start(t).URL()
	storetest.GenerationTellsOthersWrites(t, open(t, url, "p:"), open(t, url, "p:"), false)
}
