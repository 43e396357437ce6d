package redact

import (
	"crypto/sha256"
	"encoding/hex"
)

// ID is how a visitor appears in logs. It is the same for the same visitor, and
// does not reveal the visitor's id.
func ID(visitor string) string {
	sum := sha256.Sum256([]byte(visitor))
	return hex.EncodeToString(sum[:4])
}
