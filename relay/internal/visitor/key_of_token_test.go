package visitor

import (
	"testing"
	"time"

	"github.com/anyframe-relay/relay/relay/internal/store/memory"
)

func TestKey_OfATokenInUse_IsInTheStore(t *testing.T) {
	t.Parallel()
	st := memory.New()
	tokens := NewTokens(st, 24*time.Hour)
	v, err := tokens.Mint(t.Context(), NewID(), false)
	if err != nil {
		t.Fatal(err)
	}
	if _, found, err := st.FindCtx(t.Context(), Key(v.Token)); err != nil || !found {
		t.Errorf("got found %v error %v, want the token's row under its key", found, err)
	}
	if err := tokens.Revoke(t.Context(), v.Token); err != nil {
		t.Fatal(err)
	}
	if _, found, err := st.FindCtx(t.Context(), Key(v.Token)); err != nil || found {
		t.Errorf("got found %v error %v after it was revoked, want no row", found, err)
	}
}
