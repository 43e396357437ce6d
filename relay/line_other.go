//go:build !unix

package relay

// canTry says that a connection can be written to without waiting.
const canTry = false

func (c *scratch) write(uintptr) bool { return true }
