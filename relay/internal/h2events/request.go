package h2events

import (
	"errors"
	"net/http"
	"net/http/httptrace"
	"strings"

	"golang.org/x/net/http/httpguts"
	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// roundTrip requests a stream, for which a place was reserved, and waits for the
// response.
func (c *conn) roundTrip(r *http.Request, trace *httptrace.ClientTrace) (*http.Response, error) {
	fields, err := headerFields(r)
	if err != nil {
		c.free()
		return nil, err
	}
	s, reused, err := c.open(fields)
	if err != nil {
		return nil, err
	}
	if trace != nil && trace.GotConn != nil {
		trace.GotConn(httptrace.GotConnInfo{Conn: c.nc, Reused: reused})
	}
	ctx := r.Context()
	came := make(chan struct{})
	if s.notify(func() { close(came) }) {
		select {
		case <-came:
		case <-ctx.Done():
			s.abort(ctx.Err())
			return nil, ctx.Err()
		}
	}
	if trace != nil && trace.GotFirstResponseByte != nil {
		trace.GotFirstResponseByte()
	}
	return s.response(r)
}

// free releases a reserved place.
func (c *conn) free() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.reserved--
	c.unused()
}

// open sends the request. Stream ids must rise on the wire, so they are assigned where
// the frame is written.
func (c *conn) open(fields []hpack.HeaderField) (s *stream, reused bool, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	defer c.flush()
	size := uint64(0)
	for _, f := range fields {
		size += uint64(f.Size())
	}
	switch {
	case c.err != nil: // closed since the place was reserved
		return nil, false, &unseenError{c.err}
	case size > c.headers:
		err = errors.New("h2events: the server does not take so many headers")
	case c.next > maxWindow, c.retired:
		c.retired = true
		err = &unseenError{errRetired}
	}
	if err != nil {
		c.reserved--
		c.unused()
		return nil, false, err
	}
	s = &stream{c: c, id: c.next, window: streamWindow, mayStill: c.initial, left: -1}
	c.next += 2
	c.streams[s.id] = s
	reused, c.served = c.served, true

	c.block.Reset()
	for _, f := range fields {
		_ = c.enc.WriteField(f) // writes to a buffer never fail
	}
	for first := true; first || c.block.Len() > 0; first = false {
		part := c.block.Next(int(c.largest))
		if last := c.block.Len() == 0; first {
			_ = c.fr.WriteHeaders(http2.HeadersFrameParam{StreamID: s.id, BlockFragment: part, EndStream: true, EndHeaders: last})
		} else {
			_ = c.fr.WriteContinuation(s.id, last, part)
		}
	}
	return s, reused, nil
}

// headerFields returns the header list of a request (section 8.3.1). The key is never
// indexed.
func headerFields(r *http.Request) ([]hpack.HeaderField, error) {
	host := r.Host
	if host == "" {
		host = r.URL.Host
	}
	fields := make([]hpack.HeaderField, 0, 4+len(r.Header))
	fields = append(fields,
		hpack.HeaderField{Name: ":method", Value: r.Method}, hpack.HeaderField{Name: ":scheme", Value: r.URL.Scheme},
		hpack.HeaderField{Name: ":authority", Value: host}, hpack.HeaderField{Name: ":path", Value: r.URL.RequestURI()})
	for name, values := range r.Header {
		name = strings.ToLower(name)
		switch name {
		case "host", "connection", "proxy-connection", "transfer-encoding", "upgrade", "keep-alive", "te", "content-length":
			continue // specific to a connection, or sent in another form
		}
		for _, value := range values {
			if !httpguts.ValidHeaderFieldName(name) || !httpguts.ValidHeaderFieldValue(value) {
				return nil, errors.New("h2events: header " + name + " is not valid")
			}
			fields = append(fields, hpack.HeaderField{Name: name, Value: value, Sensitive: name == "authorization"})
		}
	}
	return fields, nil
}
