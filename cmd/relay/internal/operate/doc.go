// Package operate has the commands with which operators act on a relay that runs. Each
// is a client of the API on its admin address, so that it works with every store and
// whatever number of relays share it.
package operate
