package sqlite_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/anyframe-relay/relay/relay/internal/store"
)

// filesWith returns the files of a folder that contain the text.
func filesWith(t *testing.T, folder, text string) (found []string) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(folder, "*"))
	must(t, err)
	for _, file := range files {
		b, err := os.ReadFile(file)
		must(t, err)
		if strings.Contains(string(b), text) {
			found = append(found, filepath.Base(file))
		}
	}
	return found
}

func TestScrub_DeletedText_InNoFile(t *testing.T) {
	folder := t.TempDir()
	s := open(t, filepath.Join(folder, "relay.db"))
	const secret = "sesame-in-the-open"
	for i := range 400 {
		// Rows of all sizes, including some with pages of their own, among others.
		for _, visitor := range []string{"v1", "v2", "v3"} {
			text := strings.Repeat(visitor+" said ", 1+i*i%900)
			if visitor == "v1" {
				text = fmt.Sprint(secret, strings.Repeat(secret, i*i%700))
			}
			n, _, err := s.BeginNote(t.Context(), store.Note{
				Visitor: visitor, Kind: "turn", Key: fmt.Sprint(i), Epoch: 1 + int64(i%2), Body: text, ExpiresAt: soon(),
			})
			must(t, err)
			if i%3 == 0 { // saved again, shorter
				n.Body = n.Body[:1+len(n.Body)/2]
				_, err = s.SaveNote(t.Context(), n)
				must(t, err)
			}
			_, err = s.SaveRecord(t.Context(), store.Record{Kind: "k", Key: fmt.Sprint(visitor, i), Owner: visitor, Body: text})
			must(t, err)
		}
	}
	if len(filesWith(t, folder, secret)) == 0 {
		t.Fatal("got the text in no file, want it there before it is deleted")
	}
	must(t, s.ForgetEpoch(t.Context(), "v1", 1))
	must(t, s.Forget(t.Context(), "v1"))
	all, err := s.RecordsOf(t.Context(), "k", "v1", "", 999)
	must(t, err)
	for _, r := range all {
		must(t, s.DeleteRecord(t.Context(), r.Kind, r.Key, r.Version))
	}
	must(t, s.Scrub(t.Context()))
	if found := filesWith(t, folder, secret); len(found) != 0 {
		t.Errorf("got the deleted text in %q, want it in no file", found)
	}
	notes, err := s.Notes(t.Context(), "v2", "turn", 1)
	if must(t, err); len(notes) != 200 {
		t.Errorf("got %d notes of another visitor, want 200", len(notes))
	}
}
