// Package event defines the events that visitors receive: their kinds, data, ids, and
// framing on a stream. Data without a type here cannot be sent.
//
// It does not depend on AnyFrame, sessions or HTTP.
package event
