//go:build race

package stream

func init() { underRace = true }
