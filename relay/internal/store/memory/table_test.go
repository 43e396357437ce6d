package memory

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/anyframe-relay/relay/relay/internal/store"
)

func TestWrite_ExpiredRows_Deleted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := New()
		const dead = 100
		write := func(v string, life time.Duration) {
			t.Helper()
			expiry := time.Now().Add(life)
			if err := m.Commit(v, nil, expiry); err != nil {
				t.Fatal(err)
			}
			if _, err := m.SaveSession(t.Context(), store.Session{Visitor: v, ExpiresAt: expiry}); err != nil {
				t.Fatal(err)
			}
			if _, _, err := m.BeginNote(t.Context(), store.Note{Visitor: v, ExpiresAt: expiry}); err != nil {
				t.Fatal(err)
			}
			if _, _, err := m.Acquire(t.Context(), v, "me", life); err != nil {
				t.Fatal(err)
			}
			if _, _, err := m.Admit(t.Context(), v, 1, 0, life); err != nil {
				t.Fatal(err)
			}
			if _, err := m.Take(t.Context(), v, 1, 1, life/2); err != nil {
				t.Fatal(err)
			}
		}
		for i := range dead {
			write(fmt.Sprint("dead-", i), time.Duration(dead-i)*time.Minute)
		}
		time.Sleep(2 * dead * time.Minute)
		const living = dead / sweepPerWrite
		for i := range living {
			write(fmt.Sprint("live-", i), time.Hour)
		}
		got := []int{len(m.tokens.rows), len(m.sessions.rows), len(m.notes.rows), len(m.lists), len(m.leases.rows), len(m.awake.rows), len(m.quotas.rows)}
		for i, n := range got {
			if n != living {
				t.Errorf("got %d rows in table %d, want the living %d", n, i, living)
			}
		}
	})
}

func TestWrite_ExtendedRow_Kept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := New()
		s, err := m.SaveSession(t.Context(), store.Session{Visitor: "v1", Epoch: 1, ExpiresAt: time.Now().Add(time.Minute)})
		if err != nil {
			t.Fatal(err)
		}
		s.ExpiresAt = time.Now().Add(time.Hour)
		if _, err = m.SaveSession(t.Context(), s); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * time.Minute)
		if _, err = m.SaveSession(t.Context(), store.Session{Visitor: "v2", ExpiresAt: time.Now().Add(time.Minute)}); err != nil {
			t.Fatal(err)
		}
		if got, err := m.Session(t.Context(), "v1"); err != nil || got.Epoch != 1 {
			t.Errorf("got %+v, %v, want epoch 1", got, err)
		}
	})
}
