package storetest

import (
	"context"
	"testing"
	"time"

	"github.com/anyframe-relay/relay/relay/internal/store"
)

// calls lists every call that takes a context.
func calls(s store.Store) map[string]func(context.Context) error {
	return map[string]func(context.Context) error{
		"FindCtx":   func(ctx context.Context) error { _, _, err := s.FindCtx(ctx, "t"); return err },
		"CommitCtx": func(ctx context.Context) error { return s.CommitCtx(ctx, "t", []byte("x"), soon()) },
		"DeleteCtx": func(ctx context.Context) error { return s.DeleteCtx(ctx, "t") },
		"Session":   func(ctx context.Context) error { _, err := s.Session(ctx, "v1"); return err },
		"SaveSession": func(ctx context.Context) error {
			_, err := s.SaveSession(ctx, store.Session{Visitor: "v1", ExpiresAt: soon()})
			return err
		},
		"BeginNote": func(ctx context.Context) error {
			_, _, err := s.BeginNote(ctx, store.Note{Visitor: "v1", ExpiresAt: soon()})
			return err
		},
		"SaveNote": func(ctx context.Context) error {
			_, err := s.SaveNote(ctx, store.Note{Visitor: "v1", ExpiresAt: soon()})
			return err
		},
		"Note":  func(ctx context.Context) error { _, err := s.Note(ctx, "v1", "k", "k"); return err },
		"Notes": func(ctx context.Context) error { _, err := s.Notes(ctx, "v1", "k", 1); return err },
		"NotesSince": func(ctx context.Context) error {
			_, _, err := s.NotesSince(ctx, "v1", "k", 1, 0)
			return err
		},
		"NotesAt": func(ctx context.Context) error {
			_, _, err := s.NotesAt(ctx, "v1", "k", 1, 0, 1, 1)
			return err
		},
		"Forget": func(ctx context.Context) error { return s.Forget(ctx, "v1") },
		"Acquire": func(ctx context.Context) error {
			_, _, err := s.Acquire(ctx, "l", "me", time.Minute)
			return err
		},
		"Take": func(ctx context.Context) error {
			_, err := s.Take(ctx, "q", 1, 1, time.Hour)
			return err
		},
		"Look": func(ctx context.Context) error {
			_, err := s.Look(ctx, "q", 1, 1, time.Hour)
			return err
		},
		"GiveBack": func(ctx context.Context) error { return s.GiveBack(ctx, "q", 1, time.Hour) },
		"Count": func(ctx context.Context) error {
			_, _, err := s.Count(ctx, "c", 1, 1, soon())
			return err
		},
		"Admit": func(ctx context.Context) error {
			_, _, err := s.Admit(ctx, "v1", 1, 1, time.Hour)
			return err
		},
		"AdmitAll": func(ctx context.Context) error {
			_, err := s.AdmitAll(ctx, []store.Awake{{Visitor: "v1", Rank: 1}}, time.Hour)
			return err
		},
		"Leave":       func(ctx context.Context) error { return s.Leave(ctx, "v1", 1) },
		"Idlest":      func(ctx context.Context) error { _, err := s.Idlest(ctx, 1, 1); return err },
		"CountAwake":  func(ctx context.Context) error { _, err := s.CountAwake(ctx); return err },
		"ForgetEpoch": func(ctx context.Context) error { return s.ForgetEpoch(ctx, "v1", 1) },
		"Record":      func(ctx context.Context) error { _, err := s.Record(ctx, "k", "a"); return err },
		"SaveRecord": func(ctx context.Context) error {
			_, err := s.SaveRecord(ctx, store.Record{Kind: "k", Key: "a"})
			return err
		},
		"DeleteRecord": func(ctx context.Context) error { return s.DeleteRecord(ctx, "k", "a", 1) },
		"Records":      func(ctx context.Context) error { _, err := s.Records(ctx, "k", "", 1); return err },
		"RecordsOf":    func(ctx context.Context) error { _, err := s.RecordsOf(ctx, "k", "o", "", 1); return err },
		"RecordsDue":   func(ctx context.Context) error { _, err := s.RecordsDue(ctx, "k", soon(), 1); return err },
		"RecordsLatest": func(ctx context.Context) error {
			_, err := s.RecordsLatest(ctx, "k", time.Time{}, "", 1)
			return err
		},
		"CountRecords":    func(ctx context.Context) error { _, err := s.CountRecords(ctx, "k", soon()); return err },
		"RecordsRevision": func(ctx context.Context) error { _, err := s.RecordsRevision(ctx, "k"); return err },
		"Scrub":           s.Scrub,
		"Release":         func(ctx context.Context) error { return s.Release(ctx, "l", "me") },
		"Ping":            s.Ping,
		"Generation":      func(ctx context.Context) error { _, err := s.Generation(ctx); return err },
		"Changed":         func(ctx context.Context) error { _, err := s.Changed(ctx, []store.Mark{{Visitor: "v1"}}); return err },
	}
}

func endedContextStopsEveryCall(t *testing.T, s store.Store) {
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	for name, call := range calls(s) {
		wantErr(t, name, call(ended), context.Canceled)
	}
	must(t, s.Ping(t.Context()))
	if _, found, err := s.Find("t"); found || err != nil {
		t.Errorf("got a token found %v error %v, want nothing written", found, err)
	}
}

func closedStoreRefusesEveryCall(t *testing.T, s store.Store) {
	must(t, s.Close())
	for name, call := range calls(s) {
		wantErr(t, name, call(t.Context()), store.ErrClosed)
	}
	if err := s.Close(); err != nil {
		t.Errorf("got error %v from the second Close, want none", err)
	}
}
