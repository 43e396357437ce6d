package h2events

import (
	"errors"
	"io"
	"net/http"
	"strconv"

	"golang.org/x/net/http2"
)

// maxInformational is how many 1xx responses may precede the final response.
const maxInformational = 8

// maxWindow is the maximum size of a window (section 6.9.1).
const maxWindow = 1<<31 - 1

// take handles a frame. An error ends the connection.
func (c *conn) take(f http2.Frame, first bool) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	defer c.flush()
	if _, ok := f.(*http2.SettingsFrame); first && !ok {
		return c.broken(http2.ErrCodeProtocol, "the first frame is no SETTINGS")
	}
	switch f := f.(type) {
	case *http2.DataFrame:
		return c.data(f)
	case *http2.MetaHeadersFrame:
		return c.answer(f)
	case *http2.SettingsFrame:
		return c.settings(f)
	case *http2.RSTStreamFrame:
		return c.reset(f)
	case *http2.GoAwayFrame:
		return c.goAway(f)
	case *http2.WindowUpdateFrame:
		return c.windowUpdate(f)
	case *http2.PingFrame:
		if !f.IsAck() {
			_ = c.fr.WritePing(true, f.Data)
		}
	case *http2.PushPromiseFrame:
		return c.broken(http2.ErrCodeProtocol, "a pushed answer")
	}
	return c.inVain()
}

// broken returns a connection error about what the server sent.
func (c *conn) broken(code http2.ErrCode, what string) error { return &Error{Code: code, What: what} }

// inVain counts a useless frame.
func (c *conn) inVain() error {
	if c.useless++; c.useless > maxUseless {
		return c.broken(http2.ErrCodeEnhanceYourCalm, "too many frames that bring nothing")
	}
	if c.out.Len() > maxUnsent {
		return c.broken(http2.ErrCodeEnhanceYourCalm, "the server reads no answers")
	}
	return nil
}

// find returns a stream, or nil if it has ended. It returns an error for a stream that
// was never opened.
func (c *conn) find(id uint32) (*stream, error) {
	if s := c.streams[id]; s != nil {
		return s, nil
	}
	if id%2 == 0 || id >= c.next {
		return nil, c.broken(http2.ErrCodeProtocol, "a frame on a stream that was never opened")
	}
	return nil, c.inVain()
}

// data implements section 6.1. Padding counts against the windows.
func (c *conn) data(f *http2.DataFrame) error {
	length := int64(f.Length)
	if c.received += length; c.received > connWindow {
		return c.broken(http2.ErrCodeFlowControl, "more than the connection's window")
	}
	if c.received >= connWindow/2 {
		_ = c.fr.WriteWindowUpdate(0, uint32(c.received))
		c.received = 0
	}
	s, err := c.find(f.StreamID)
	if s == nil {
		return err
	}
	body := f.Data()
	switch {
	case !s.answered:
		return c.end(s, http2.ErrCodeProtocol, "DATA before the answer")
	case length > s.window:
		return c.end(s, http2.ErrCodeFlowControl, "more than the stream's window")
	case s.left >= 0 && int64(len(body)) > s.left:
		return c.end(s, http2.ErrCodeProtocol, "more than the content-length")
	}
	s.window -= length
	s.credit += length - int64(len(body))
	if s.left >= 0 {
		s.left -= int64(len(body))
	}
	if len(body) > 0 {
		s.put(body)
	}
	c.announce(s)
	if f.StreamEnded() {
		return c.complete(s)
	}
	if len(body) < 2 { // no server sends an event byte by byte
		return c.inVain()
	}
	return nil
}

// answer handles HEADERS with its CONTINUATION frames: an informational response, the
// final response, or trailers (sections 6.2 and 8.1).
func (c *conn) answer(f *http2.MetaHeadersFrame) error {
	s, err := c.find(f.StreamID)
	if s == nil {
		return err
	}
	status, err := strconv.Atoi(f.PseudoValue("status"))
	switch {
	case f.Truncated:
		return c.end(s, http2.ErrCodeProtocol, "headers that are too large")
	case s.answered:
		if !f.StreamEnded() || len(f.PseudoFields()) > 0 {
			return c.end(s, http2.ErrCodeProtocol, "a second answer")
		}
		return c.complete(s)
	case err != nil || len(f.PseudoFields()) != 1 || status < 100 || status > 999 || status == http.StatusSwitchingProtocols:
		return c.end(s, http2.ErrCodeProtocol, "an answer without a proper status")
	case status < 200:
		if s.informational++; f.StreamEnded() || s.informational > maxInformational {
			return c.end(s, http2.ErrCodeProtocol, "no answer after the informational ones")
		}
		return nil
	}
	s.accept(status, f)
	c.announce(s)
	if f.StreamEnded() {
		return c.complete(s)
	}
	return nil
}

// malformed handles an error of the framer that concerns one stream.
func (c *conn) malformed(e http2.StreamError) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	defer c.flush()
	s, err := c.find(e.StreamID)
	if s == nil {
		return err
	}
	return c.end(s, e.Code, "a malformed frame")
}

// settings implements section 6.5.
func (c *conn) settings(f *http2.SettingsFrame) error {
	if f.IsAck() {
		return c.inVain()
	}
	err := f.ForeachSetting(func(set http2.Setting) error {
		if err := set.Valid(); err != nil {
			return err
		}
		switch set.ID {
		case http2.SettingEnableConnectProtocol, http2.SettingNoRFC7540Priorities: // not used here
		case http2.SettingEnablePush:
			if set.Val != 0 {
				return c.broken(http2.ErrCodeProtocol, "a server that wants pushed answers")
			}
		case http2.SettingMaxConcurrentStreams:
			c.allowed = min(set.Val, maxWindow)
		case http2.SettingMaxFrameSize:
			c.largest = set.Val
		case http2.SettingMaxHeaderListSize:
			c.headers = uint64(set.Val)
		case http2.SettingHeaderTableSize:
			c.enc.SetMaxDynamicTableSize(min(set.Val, 4096))
		case http2.SettingInitialWindowSize:
			more := int64(set.Val) - c.initial
			c.initial = int64(set.Val)
			for _, s := range c.streams {
				if s.mayStill += more; s.mayStill > maxWindow {
					return c.broken(http2.ErrCodeFlowControl, "a window that is too large")
				}
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	_ = c.fr.WriteSettingsAck()
	return c.inVain()
}

// windowUpdate implements section 6.9. We send no DATA, but an excessive increment is
// still an error.
func (c *conn) windowUpdate(f *http2.WindowUpdateFrame) error {
	if f.StreamID == 0 {
		if c.window += int64(f.Increment); c.window > maxWindow {
			return c.broken(http2.ErrCodeFlowControl, "a window that is too large")
		}
		return c.inVain()
	}
	s, err := c.find(f.StreamID)
	if s == nil {
		return err
	}
	if s.mayStill += int64(f.Increment); s.mayStill > maxWindow {
		return c.end(s, http2.ErrCodeFlowControl, "a window that is too large")
	}
	return c.inVain()
}

// reset implements section 6.4. REFUSED_STREAM means that the server has not processed
// the request (section 8.7).
func (c *conn) reset(f *http2.RSTStreamFrame) error {
	s, err := c.find(f.StreamID)
	if s == nil {
		return err
	}
	err = &Error{Code: f.ErrCode, Remote: true, What: "the stream was reset"}
	if f.ErrCode == http2.ErrCodeRefusedStream && !s.answered {
		err = &unseenError{err}
	}
	s.end(err)
	c.announce(s)
	return nil
}

// goAway implements section 6.8: no new streams; those above the last one were not
// processed, the others continue to their end.
func (c *conn) goAway(f *http2.GoAwayFrame) error {
	c.retired = true
	for id, s := range c.streams {
		if id > f.LastStreamID {
			s.end(&unseenError{&Error{Code: f.ErrCode, Remote: true, What: "the connection goes away"}})
			c.announce(s)
		}
	}
	c.unused()
	return c.inVain()
}

// end resets a stream on which the server sent something invalid.
func (c *conn) end(s *stream, code http2.ErrCode, what string) error {
	_ = c.fr.WriteRSTStream(s.id, code)
	s.end(&Error{Code: code, What: what})
	c.announce(s)
	return nil
}

// complete ends a stream that the server has finished.
func (c *conn) complete(s *stream) error {
	err := io.EOF
	if s.left > 0 {
		err = io.ErrUnexpectedEOF
	}
	s.end(err)
	c.announce(s)
	return nil
}

// announce schedules the notification of a stream, for when everything that arrived
// together has been taken.
func (c *conn) announce(s *stream) {
	if !s.announced {
		s.announced = true
		c.ready = append(c.ready, s)
	}
}

var (
	// errClosed ends the streams of a connection that the server closed.
	errClosed = errors.New("h2events: the server closed the connection")
	// errSilent ends the streams of a connection on which a PING was not answered.
	errSilent = errors.New("h2events: no answer to a ping: the connection is dead")
	// errRetired closes a connection without streams.
	errRetired = errors.New("h2events: the connection is no longer used")
)

// Error is an HTTP/2 error, reported by the server or detected in its frames.
type Error struct {
	Code   http2.ErrCode
	Remote bool // reported by the server
	What   string
}

// Error returns a text that contains the code, and omits the server's own text.
func (e *Error) Error() string {
	if e.Remote {
		return "h2events: " + e.What + " by the server: " + e.Code.String()
	}
	return "h2events: the server sent " + e.What + ": " + e.Code.String()
}

// unseenError ends a stream that the server has not processed.
type unseenError struct{ error }

func (e *unseenError) Unwrap() error { return e.error }
