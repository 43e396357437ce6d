package eventlog

import "sync"

// Watcher is notified of changes. OnAppend runs in the goroutine that made the change,
// one watcher after the other, so it must not block.
type Watcher interface{ OnAppend() }

// Watch is the registration of one Watcher. The zero Watch is not registered. A watcher
// keeps its Watch in a field, so that adding it allocates nothing.
type Watch struct {
	watcher Watcher
	index   int // in Watchers.all
}

// Watchers are the readers of one session. They outlive its logs: pass [Watchers.Notify]
// to [Log.Watch] of each new log. The zero value is ready to use.
type Watchers struct {
	mu  sync.Mutex // while held, no watcher is added, removed or called by others
	all []*Watch
}

// Add registers w under watch, which must not be registered already.
func (ws *Watchers) Add(watch *Watch, w Watcher) {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	watch.watcher, watch.index = w, len(ws.all)
	ws.all = append(ws.all, watch)
}

// Remove undoes Add, if there was one. It waits for a call in progress; after it returns,
// the watcher is not called again.
func (ws *Watchers) Remove(watch *Watch) {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	if watch.watcher == nil {
		return
	}
	last := len(ws.all) - 1
	ws.all[watch.index] = ws.all[last]
	ws.all[watch.index].index = watch.index
	ws.all[last] = nil
	ws.all = ws.all[:last]
	watch.watcher = nil
}

// Notify calls every watcher.
func (ws *Watchers) Notify() {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	for _, watch := range ws.all {
		watch.watcher.OnAppend()
	}
}

// Len returns the number of watchers.
func (ws *Watchers) Len() int {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	return len(ws.all)
}
