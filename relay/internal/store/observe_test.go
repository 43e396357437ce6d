package store_test

import (
	"context"
	"reflect"
	"testing"
	"time"

	"github.com/anyframe-relay/relay/relay/internal/store"
	"github.com/anyframe-relay/relay/relay/internal/store/memory"
)

func TestObserve_EveryMethod_Reported(t *testing.T) {
	var ops []string
	s := store.Observe(memory.New(), func(op string, _ time.Duration, _ error) { ops = append(ops, op) })
	defer s.Close()
	// Close and Shared do not call the backend; scs never uses the methods without
	// a context.
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

func TestObserve_Error_Reported(t *testing.T) {
	var got error
	s := store.Observe(memory.New(), func(_ string, _ time.Duration, err error) { got = err })
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Session(t.Context(), "v"); err == nil || got != err { //nolint:errorlint // the very same
		t.Errorf("got %v told of %v, want the same error", got, err)
	}
}
