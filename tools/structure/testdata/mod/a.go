// Package mod has two files that use each other.
package mod

import (
	"sync"

	"example.com/mod/low"
)

var lock sync.Mutex

// Big has methods in two files.
type Big struct {
	mu    sync.RWMutex
	later func(*low.Log)
	n     int
}

// Start ends in [low.Log.Append] through a function value.
func (b *Big) Start() {
	lock.Lock()
	defer lock.Unlock()
	b.later = b.write
	b.run()
}
