package mod

import "example.com/mod/low"

func (b *Big) run() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.later(new(low.Log))
	b.count()
}
