// Package low imports nothing.
package low

// Log is a list.
type Log struct{ lines []string }

// Append adds a line.
func (l *Log) Append(line string) { l.lines = append(l.lines, line) }
