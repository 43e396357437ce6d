package store_test

import (
	"context"
	"reflect"
	"testing"
	"time"

	"github.com/anyframe-relay/relay/relay/store"
)

func TestObserve_EveryCall_Reported(t *testing.T) {
	var ops []string
	s := store.Observe(store.NewMemory(), func(op string, _ time.Duration, _ error) { ops = append(ops, op) })
	defer s.Close()
	// Closing is no call that anybody waits for, and those without a context
	// are for others that scs serves.
	unseen := map[string]bool{"Close": true, "Shared": true, "Find": true, "Commit": true, "Delete": true}
	seen := map[string]bool{}
	for method := range reflect.TypeFor[store.Store]().Methods() {
		if unseen[method.Name] {
			continue
		}
		ops = nil
		call := reflect.ValueOf(s).MethodByName(method.Name)
		args := []reflect.Value{reflect.ValueOf(context.Background())}
		for n := 1; n < method.Type.NumIn(); n++ {
			args = append(args, reflect.Zero(method.Type.In(n)))
		}
		call.Call(args)
		if len(ops) != 1 || seen[ops[0]] {
			t.Errorf("%s: got calls %q, want one of a name of its own", method.Name, ops)
			continue
		}
		seen[ops[0]] = true
	}
	if len(seen) < 20 {
		t.Errorf("got %d calls seen, want every one", len(seen))
	}
}

func TestObserve_CallFails_ErrorReported(t *testing.T) {
	var got error
	s := store.Observe(store.NewMemory(), func(_ string, _ time.Duration, err error) { got = err })
	must(t, s.Close())
	if _, err := s.Session(t.Context(), "v"); err == nil || got != err { //nolint:errorlint // the very same
		t.Errorf("got %v told of %v, want the same error", got, err)
	}
}
