// Package operate implements the commands that control a running relay. Each command uses
// the API on the relay's admin address, so it works with every store and with any number
// of relays on one store.
package operate
