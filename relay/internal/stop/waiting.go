package stop

import "sync"

// Waiting holds waiting turns. The zero Waiting is empty; it is safe for concurrent use.
type Waiting struct {
	mu  sync.Mutex // guards all; a request's entry is present exactly while it waits
	all map[string][]*entry
}

type entry struct{ stop func() }

// Add adds a waiting request, by its turn's key: stop ends its wait. The caller must call
// leave.
func (w *Waiting) Add(key string, stop func()) (leave func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.all == nil {
		w.all = map[string][]*entry{}
	}
	e := &entry{stop}
	w.all[key] = append(w.all[key], e)
	return func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		var rest []*entry
		for _, other := range w.all[key] {
			if other != e {
				rest = append(rest, other)
			}
		}
		if w.all[key] = rest; rest == nil {
			delete(w.all, key)
		}
		if len(w.all) == 0 {
			w.all = nil // an empty map keeps its memory, and nearly all are empty
		}
	}
}

// Stop ends the wait of all requests with a turn's key.
func (w *Waiting) Stop(key string) {
	w.mu.Lock()
	all := w.all[key]
	w.mu.Unlock()
	for _, e := range all {
		e.stop()
	}
}
