// Package stream writes one event stream (text/event-stream) to one browser: where
// the stream stands in the log, catching up with what the log no longer keeps,
// heartbeats, the end of its time, and draining.
//
// It owns every open stream: their connections, where those can be taken over from
// net/http, their goroutines, and the timer wheel that looks after the idle ones. It
// shows whatever a [Source] says, and must not know sessions, visitors or the store.
//
// # Idle streams
//
// Nearly all streams are idle at any time, so memory is what an idle one costs, and
// CPU is what an event costs for each stream. On HTTP/1.1 without TLS a stream takes
// its connection over from net/http, and the buffers, the request and the goroutine
// of net/http go with the handler. While such a stream is idle it is a struct without
// a goroutine, timer or buffer. Others write to its connection, as long as that does
// not block: the goroutine that appends to the log writes the event, the wheel's
// goroutine writes the heartbeat. The process's poller reports when the browser leaves.
// Whatever may block is done by a step, in a goroutine that ends with the step. On other
// connections the same steps run in the request's goroutine, which waits in between.
//
// # Locks
//
//	eventlog.Watchers.mu → stream.mu → {eventlog.Log.mu | timerWheel.mu | locks of the Source}
//
// No goroutine blocks on I/O while it holds one of them: the writes under stream.mu take
// what the socket's buffer has room for. A step does its own I/O with nothing locked.
package stream
