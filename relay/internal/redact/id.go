package redact

import (
	"crypto/sha256"
	"encoding/hex"
)

// ID returns the id of a visitor in logs. It is stable, and does not reveal the visitor's
// id.
func ID(visitor string) string {
	sum := sha256.Sum256([]byte(visitor))
	return hex.EncodeToString(sum[:4])
}
