// Package bench compares how fast package anyframe and two other readers read event
// streams. It is a separate module, so that programs that use anyframe do not
// depend on the other readers.
//
// It contains only benchmarks and a test that all readers read the same events: see
// README.md.
package bench
