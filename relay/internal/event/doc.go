// Package event is what visitors get: the kinds of event with their data, their ids,
// and how they are framed on a stream. What has no type here has no way out.
//
// It knows no AnyFrame, no session and no HTTP.
package event
