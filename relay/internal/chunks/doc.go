// Package chunks holds long texts that grow, such as an answer that is still arriving. It
// depends on no other package of the relay.
package chunks
