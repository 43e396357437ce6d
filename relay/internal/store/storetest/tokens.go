package storetest

import (
	"bytes"
	"testing"
	"time"

	"github.com/alexedwards/scs/v2"

	"github.com/anyframe-relay/relay/relay/internal/store"
)

func tokenIsFoundUntilItExpires(t *testing.T, s store.Store) {
	for name, api := range map[string]struct {
		find   func(string) ([]byte, bool, error)
		commit func(string, []byte, time.Time) error
		remove func(string) error
	}{
		"without context": {s.Find, s.Commit, s.Delete},
		"with context": {
			func(k string) ([]byte, bool, error) { return s.FindCtx(t.Context(), k) },
			func(k string, b []byte, e time.Time) error { return s.CommitCtx(t.Context(), k, b, e) },
			func(k string) error { return s.DeleteCtx(t.Context(), k) },
		},
	} {
		want := func(what string, data []byte) {
			t.Helper()
			got, found, err := api.find("token")
			must(t, err)
			if found != (data != nil) || !bytes.Equal(got, data) {
				t.Errorf("%s, %s: got %q found %v, want %q", name, what, got, found, data)
			}
		}
		want("unknown", nil)
		must(t, api.commit("token", []byte("one"), soon()))
		want("committed", []byte("one"))
		must(t, api.commit("token", []byte("two"), soon()))
		want("committed again", []byte("two"))
		must(t, api.remove("token"))
		want("deleted", nil)
		must(t, api.remove("token"))
		writeBrief(t, func(e time.Time) error { return api.commit("token", []byte("three"), e) })
		want("expired", nil)
		must(t, api.commit("token", []byte("four"), soon()))
		want("committed over the expired one", []byte("four"))
		must(t, api.remove("token"))
	}
}

func tokenWithoutAFutureIsRefused(t *testing.T, s store.Store) {
	must(t, s.Commit("token", []byte("kept"), soon()))
	for _, expiry := range []time.Time{{}, time.Now().Add(-time.Second), time.Now().Add(-time.Hour)} {
		wantErr(t, "commit", s.Commit("token", []byte("refused"), expiry), store.ErrExpired)
	}
	got, found, err := s.Find("token")
	must(t, err)
	if !found || string(got) != "kept" {
		t.Errorf("got %q found %v, want the token as it was", got, found)
	}
}

func tokenBytesBelongToTheCaller(t *testing.T, s store.Store) {
	b := []byte("data")
	must(t, s.Commit("token", b, soon()))
	b[0] = 'X'
	first, _, err := s.Find("token")
	must(t, err)
	if string(first) != "data" {
		t.Errorf("got %q, want what was committed", first)
	}
	first[0] = 'X'
	second, _, err := s.Find("token")
	must(t, err)
	if string(second) != "data" {
		t.Errorf("got %q, want what was committed", second)
	}
}

func tokensServeASessionManager(t *testing.T, s store.Store) {
	m := scs.New()
	m.Store = s
	m.HashTokenInStore = true
	ctx, err := m.Load(t.Context(), "")
	must(t, err)
	m.Put(ctx, "visitor", "v1")
	token, _, err := m.Commit(ctx)
	must(t, err)
	if _, found, err := s.Find(token); found || err != nil {
		t.Errorf("got the plain token found %v (%v), want only its hash in the store", found, err)
	}
	ctx, err = m.Load(t.Context(), token)
	must(t, err)
	if got := m.GetString(ctx, "visitor"); got != "v1" {
		t.Errorf("got visitor %q, want v1", got)
	}
	must(t, m.Destroy(ctx))
	ctx, err = m.Load(t.Context(), token)
	must(t, err)
	if got := m.GetString(ctx, "visitor"); got != "" {
		t.Errorf("got visitor %q after destroy, want none", got)
	}
}
