package event

import "testing"

func FuzzLastEventID(f *testing.F) {
	for _, id := range []string{"1-1", "2-9223372036854775807", "01-1", "+1-1", "1--1", "1-1 ", "-1-1", "1-0", "0-1", "1-99999999999999999999", "１-１", "1-1\x00", ""} {
		f.Add(id)
	}
	f.Fuzz(func(t *testing.T, s string) {
		id, ok := ParseID(s)
		if ok && (id.String() != s || id.Epoch < 1 || id.Seq < 1 || len(s) > MaxEventIDBytes) {
			t.Errorf("%q: got %v, want it refused", s, id)
		}
		if !ok && id != (ID{}) {
			t.Errorf("%q: got %v with a refusal, want nothing", s, id)
		}
	})
}
