// Package stream writes one event stream (text/event-stream) to one browser. It handles
// the stream's position in the log, catching up with events that the log no longer keeps,
// heartbeats, the stream's lifetime, and draining.
//
// It owns every open stream: their connections, if those can be hijacked from net/http,
// their goroutines, and the timer wheel that serves the idle ones. It shows the state of
// a [Source], and must not depend on sessions, visitors or the store.
//
// # Idle streams
//
// Nearly all streams are idle at any time, so memory is dominated by the cost of an idle
// stream, and CPU by the cost of an event per stream. On HTTP/1.1 without TLS a stream
// hijacks its connection from net/http, and net/http's buffers, request and goroutine are
// released with the handler. While such a stream is idle it is a struct without a
// goroutine, timer or buffer. Others write to its connection, as long as that does not
// block: the goroutine that appends to the log writes the event, the wheel's goroutine
// writes the heartbeat. The process's poller reports when the browser disconnects.
// Anything that may block is done by a step, in a goroutine that ends with the step. On
// other connections the same steps run in the request's goroutine, which waits in
// between.
//
// A read from AnyFrame may take longer than a stream may be silent. The step has a second
// goroutine read, and writes heartbeats while it waits for it. The read ends with the
// browser's connection.
//
// # Locks
//
//	eventlog.Watchers.mu → stream.mu → {eventlog.Log.mu | timerWheel.mu | locks of the Source}
//
// No goroutine blocks on I/O while it holds one of them: writes under stream.mu are
// limited to what the socket's buffer accepts. A step does its own I/O without holding a
// lock.
package stream
