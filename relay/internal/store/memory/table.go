package memory

import (
	"container/heap"
	"time"
)

// sweepPerWrite is the maximum number of expired rows of a table that one write deletes.
// It exceeds what a write adds, so that expired rows do not accumulate.
const sweepPerWrite = 4

// table is a map whose rows expire. A heap yields the next row to expire, so
// deleting an expired row costs no more than adding it did.
type table[K comparable, V any] struct {
	rows    map[K]*row[K, V]
	queue   expiryQueue[K, V]
	removed func(V) // called after a row is deleted, if set
}

type row[K comparable, V any] struct {
	key     K
	value   V
	expires time.Time
	index   int // in queue
}

func newTable[K comparable, V any]() table[K, V] {
	return table[K, V]{rows: make(map[K]*row[K, V])}
}

func (t *table[K, V]) get(k K, now time.Time) (v V, ok bool) {
	if r := t.rows[k]; r != nil && r.expires.After(now) {
		return r.value, true
	}
	return v, false
}

func (t *table[K, V]) put(k K, v V, expires, now time.Time) {
	for range sweepPerWrite {
		if len(t.queue) == 0 || t.queue[0].expires.After(now) || t.queue[0].key == k {
			break
		}
		t.remove(t.queue[0].key)
	}
	if r := t.rows[k]; r != nil {
		r.value, r.expires = v, expires
		heap.Fix(&t.queue, r.index)
		return
	}
	r := &row[K, V]{key: k, value: v, expires: expires}
	t.rows[k] = r
	heap.Push(&t.queue, r)
}

// sweep deletes all expired rows.
func (t *table[K, V]) sweep(now time.Time) {
	for len(t.queue) > 0 && !t.queue[0].expires.After(now) {
		t.remove(t.queue[0].key)
	}
}

func (t *table[K, V]) remove(k K) {
	r := t.rows[k]
	if r == nil {
		return
	}
	delete(t.rows, k)
	heap.Remove(&t.queue, r.index)
	if t.removed != nil {
		t.removed(r.value)
	}
}

// expiryQueue is a heap by expiry, earliest first.
type expiryQueue[K comparable, V any] []*row[K, V]

func (q expiryQueue[K, V]) Len() int           { return len(q) }
func (q expiryQueue[K, V]) Less(i, j int) bool { return q[i].expires.Before(q[j].expires) }
func (q expiryQueue[K, V]) Swap(i, j int) {
	q[i], q[j] = q[j], q[i]
	q[i].index, q[j].index = i, j
}

func (q *expiryQueue[K, V]) Push(x any) {
	r := x.(*row[K, V])
	r.index = len(*q)
	*q = append(*q, r)
}

func (q *expiryQueue[K, V]) Pop() any {
	old := *q
	r := old[len(old)-1]
	old[len(old)-1] = nil
	*q = old[:len(old)-1]
	return r
}
