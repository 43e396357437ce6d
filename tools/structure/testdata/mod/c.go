package mod

import "example.com/mod/low"

func (b *Big) write(l *low.Log) { l.Append("x") }
