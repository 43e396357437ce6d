package h2events

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/net/http2"
)

// echo answers every request with an event stream that stays open until the connection
// ends.
func echo(p *peer) {
	p.settings()
	for {
		id := p.request()
		if id == 0 {
			return
		}
		p.open(id)
		p.data(id, fmt.Sprintf("%d", p.n))
	}
}

func TestConn_Preface_SetsTheLimits(t *testing.T) {
	t.Parallel()
	s := serve(t, func(p *peer) {
		first := p.awaitType(http2.FrameSettings)
		got := map[http2.SettingID]uint32{}
		for _, set := range first.settings {
			got[set.ID] = set.Val
		}
		if got[http2.SettingEnablePush] != 0 || got[http2.SettingInitialWindowSize] != streamWindow || got[http2.SettingMaxHeaderListSize] != maxHeaders {
			t.Errorf("got %v", got)
		}
		if f := p.awaitType(http2.FrameWindowUpdate); f.StreamID != 0 || f.increment != connWindow-65535 {
			t.Errorf("got %v, %d, want the rest of the connection's window", f, f.increment)
		}
		p.settings(http2.Setting{ID: http2.SettingMaxFrameSize, Val: 1 << 20})
		p.await(func(f sent) bool { return f.Type == http2.FrameSettings && f.Flags.Has(http2.FlagSettingsAck) })
		_ = p.fr.WritePing(false, [8]byte{1, 2})
		if f := p.awaitType(http2.FramePing); !f.Flags.Has(http2.FlagPingAck) || f.ping != [8]byte{1, 2} {
			t.Errorf("got %v, want the answer to the ping", f)
		}
		p.headers(1, true, ":status", "204")
		p.awaitType(http2.FrameGoAway)
	})
	tr := s.client(Options{})
	open(t, tr, s.url)
	tr.CloseIdleConnections()
}

func TestConn_ManyStreams_ShareIt(t *testing.T) {
	t.Parallel()
	const streams = spread // too few for a second connection
	s := serve(t, echo)
	tr := s.client(Options{})
	var all sync.WaitGroup
	for range streams {
		all.Go(func() {
			res, err := get(t.Context(), tr, s.url)
			if err != nil {
				t.Error(err)
				return
			}
			t.Cleanup(func() { res.Body.Close() })
			if _, err := res.Body.Read(make([]byte, 1)); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if n := s.connections(); n != 1 || tr.Connections() != 1 {
		t.Errorf("got %d connections, %d as the transport says, want 1", n, tr.Connections())
	}
}

func TestConn_MaxConcurrentStreams_IsObeyedAndFollowed(t *testing.T) {
	t.Parallel()
	step := make(chan func(*peer))
	acknowledged := func(p *peer) {
		p.await(func(f sent) bool { return f.Type == http2.FrameSettings && f.Flags.Has(http2.FlagSettingsAck) })
	}
	s := serve(t, func(p *peer) {
		if p.n > 1 {
			echo(p)
			return
		}
		p.settings(http2.Setting{ID: http2.SettingMaxConcurrentStreams, Val: 2})
		acknowledged(p)
		for do := range step {
			do(p)
		}
		p.awaitType(http2.FrameGoAway)
	})
	tr := s.client(Options{})
	answer := func() {
		step <- func(p *peer) {
			id := p.request()
			p.open(id)
			p.data(id, "1")
		}
	}
	allow := func(n uint32) {
		done := make(chan struct{})
		step <- func(p *peer) {
			p.settings(http2.Setting{ID: http2.SettingMaxConcurrentStreams, Val: n})
			acknowledged(p)
			close(done)
		}
		<-done
	}
	go answer()
	first := open(t, tr, s.url)
	read(t, first, "1")
	go answer()
	read(t, open(t, tr, s.url), "1")
	third := open(t, tr, s.url)
	read(t, third, "2") // there is no room for a third
	third.Body.Close()
	if tr.Connections() != 2 {
		t.Fatalf("got %d connections, want 2", tr.Connections())
	}
	tr.CloseIdleConnections() // the second connection is closed

	allow(3)
	go answer()
	read(t, first2(t, tr, s), "1") // now there is room
	allow(1)
	first.Body.Close()
	fourth := open(t, tr, s.url) // two are still open, where one is allowed
	read(t, fourth, "3")
	close(step)
}

// first2 opens a stream on the first connection, once the other has been closed.
func first2(t *testing.T, tr *Transport, s *server) (res *http.Response) {
	t.Helper()
	wait(t, func() bool { return tr.Connections() == 1 })
	return open(t, tr, s.url)
}

// wait waits until so returns true.
func wait(t testing.TB, so func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !so(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("it never came to be")
		}
	}
}

func TestConn_NoStreamsAllowed_IsAnErrorAndNoFloodOfConnections(t *testing.T) {
	t.Parallel()
	s := serve(t, func(p *peer) {
		p.settings(http2.Setting{ID: http2.SettingMaxConcurrentStreams, Val: 0})
		for {
			f := p.await(func(f sent) bool { return f.Type == http2.FrameHeaders })
			if f.StreamID == 0 {
				return
			}
			_ = p.fr.WriteRSTStream(f.StreamID, http2.ErrCodeRefusedStream)
		}
	})
	tr := s.client(Options{})
	for range 5 {
		if res, err := get(t.Context(), tr, s.url); err == nil {
			res.Body.Close()
			t.Fatal("got an answer, want an error")
		}
	}
	if n := s.connections(); n > maxBarren+1 {
		t.Errorf("got %d connections, want at most %d", n, maxBarren+1)
	}
}

func TestConn_RefusedStream_IsTriedAgain(t *testing.T) {
	t.Parallel()
	s := serve(t, func(p *peer) {
		p.settings()
		for range 2 {
			_ = p.fr.WriteRSTStream(p.request(), http2.ErrCodeRefusedStream)
		}
		id := p.request()
		p.open(id)
		p.end(id, "ok")
	})
	if got := all(t, open(t, s.client(Options{}), s.url)); got != "ok" {
		t.Errorf("got %q, want ok", got)
	}
}

func TestConn_RefusedStreamForEver_IsAnError(t *testing.T) {
	t.Parallel()
	s := serve(t, func(p *peer) {
		p.settings()
		for n := 0; ; n++ {
			id := p.request()
			if id == 0 {
				if n != maxTries {
					t.Errorf("got %d tries, want %d", n, maxTries)
				}
				return
			}
			_ = p.fr.WriteRSTStream(id, http2.ErrCodeRefusedStream)
		}
	})
	if _, err := get(t.Context(), s.client(Options{}), s.url); code(err) != http2.ErrCodeRefusedStream {
		t.Errorf("got %v, want REFUSED_STREAM", err)
	}
}

func TestConn_GracefulGoAway_LetsStreamsEndAndTakesNoMore(t *testing.T) {
	t.Parallel()
	went := make(chan struct{})
	s := serve(t, func(p *peer) {
		if p.n > 1 {
			echo(p)
			return
		}
		p.settings()
		id := p.request()
		p.open(id)
		_ = p.fr.WriteGoAway(1<<31-1, http2.ErrCodeNo, []byte("bye"))
		p.data(id, "a")
		<-went
		_ = p.fr.WriteGoAway(id, http2.ErrCodeNo, nil)
		p.data(id, "b")
		p.end(id, "c")
		p.awaitType(http2.FrameGoAway) // and closes the connection that is no longer needed
	})
	tr := s.client(Options{})
	first := open(t, tr, s.url)
	read(t, first, "a")
	read(t, open(t, tr, s.url), "2")
	close(went)
	if got := all(t, first); got != "bc" {
		t.Errorf("got %q, want bc", got)
	}
	wait(t, func() bool { return tr.Connections() == 1 })
}

func TestConn_GoAwayBelowARequest_MovesItElsewhere(t *testing.T) {
	t.Parallel()
	for _, code := range []http2.ErrCode{http2.ErrCodeNo, http2.ErrCodeEnhanceYourCalm} {
		t.Run(code.String(), func(t *testing.T) {
			t.Parallel()
			s := serve(t, func(p *peer) {
				if p.n > 1 {
					echo(p)
					return
				}
				p.settings()
				p.request()
				_ = p.fr.WriteGoAway(0, code, nil)
			})
			read(t, open(t, s.client(Options{}), s.url), "2")
		})
	}
}

func TestConn_Lost_EndsItsStreams(t *testing.T) {
	t.Parallel()
	s := serve(t, func(p *peer) {
		p.settings()
		id := p.request()
		p.open(id)
		p.data(id, "a")
		if p.n == 1 { // and the waiting request
			p.request()
		}
	})
	tr := s.client(Options{})
	first := open(t, tr, s.url)
	read(t, first, "a")
	if _, err := get(t.Context(), tr, s.url); err == nil {
		t.Error("got an answer, want an error")
	}
	if _, err := first.Body.Read(make([]byte, 1)); err == nil || errors.Is(err, io.EOF) {
		t.Errorf("got %v, want an error that is no end", err)
	}
	read(t, open(t, tr, s.url), "a")
}

func TestConn_Silent_IsPingedAndFoundDead(t *testing.T) {
	t.Parallel()
	s := serve(t, func(p *peer) {
		p.settings()
		id := p.request()
		p.open(id)
		for range 3 {
			ping := p.awaitType(http2.FramePing)
			_ = p.fr.WritePing(true, ping.ping)
		}
		p.data(id, "a")
		for { // no more responses
			if f := p.await(func(sent) bool { return false }); f.Length == 0 {
				return
			}
		}
	})
	res := open(t, s.client(Options{PingAfter: 20 * time.Millisecond, PingTimeout: 3 * time.Second}), s.url)
	read(t, res, "a")
	ends(t, res, "ping")
}

func TestConn_OfAge_IsReplacedAndItsStreamsGoOn(t *testing.T) {
	t.Parallel()
	again := make(chan struct{})
	s := serve(t, func(p *peer) {
		if p.n > 1 {
			echo(p)
			return
		}
		p.settings()
		id := p.request()
		p.open(id)
		p.data(id, "a")
		<-again
		p.end(id, "b")
		p.awaitType(http2.FrameGoAway)
	})
	tr := s.client(Options{PingAfter: 5 * time.Millisecond, PingTimeout: patience})
	first := open(t, tr, s.url)
	read(t, first, "a")
	c := first.Body.(*stream).c
	c.mu.Lock()
	c.o.MaxAge = time.Since(c.born)
	c.mu.Unlock()
	wait(t, func() bool { return c.isRetired() })
	read(t, open(t, tr, s.url), "2")
	close(again)
	if got := all(t, first); got != "b" {
		t.Errorf("got %q, want b", got)
	}
}

func (c *conn) isRetired() bool {
	_, _, takes := c.load()
	return !takes
}

func TestConn_WithoutStreams_IsClosedAfterAWhile(t *testing.T) {
	t.Parallel()
	s := serve(t, func(p *peer) {
		p.settings()
		p.headers(p.request(), true, ":status", "204")
		p.awaitType(http2.FrameGoAway)
	})
	tr := s.client(Options{IdleTimeout: time.Millisecond, PingAfter: 5 * time.Millisecond, PingTimeout: patience})
	open(t, tr, s.url)
	wait(t, func() bool { return tr.Connections() == 0 })
}

func TestConn_MoreStreamsThanItCarries_AreSpread(t *testing.T) {
	t.Parallel()
	const streams, each = 200, 10
	s := serve(t, echo)
	tr := s.client(Options{Streams: each})
	var all sync.WaitGroup
	for range streams {
		all.Go(func() {
			res, err := get(t.Context(), tr, s.url)
			if err != nil {
				t.Error(err)
				return
			}
			t.Cleanup(func() { res.Body.Close() })
		})
	}
	all.Wait()
	if n := tr.Connections(); n < streams/each || n > streams/each+maxDialing {
		t.Errorf("got %d connections, want about %d", n, streams/each)
	}
}

// All cases below are attacks: the connection must end with an error that explains why,
// and the next stream must use another connection.
func TestConn_Attacks_EndItWithAnError(t *testing.T) {
	t.Parallel()
	forever := func(do func() error) {
		for err := error(nil); err == nil; err = do() {
			continue
		}
	}
	for name, attack := range map[string]struct {
		do   func(p *peer, id uint32)
		want string
	}{
		"no settings first": {nil, "PROTOCOL_ERROR"},
		"pings":             {func(p *peer, _ uint32) { forever(func() error { return p.fr.WritePing(false, [8]byte{}) }) }, "ENHANCE_YOUR_CALM"},
		"settings":          {func(p *peer, _ uint32) { forever(func() error { return p.fr.WriteSettings() }) }, "ENHANCE_YOUR_CALM"},
		"empty data":        {func(p *peer, id uint32) { forever(func() error { return p.fr.WriteData(id, false, nil) }) }, "ENHANCE_YOUR_CALM"},
		"data of one byte":  {func(p *peer, id uint32) { forever(func() error { return p.fr.WriteData(id, false, []byte("x")) }) }, "ENHANCE_YOUR_CALM"},
		"priorities": {func(p *peer, id uint32) {
			forever(func() error { return p.fr.WritePriority(id, http2.PriorityParam{}) })
		}, "ENHANCE_YOUR_CALM"},
		"unknown frames":       {func(p *peer, id uint32) { forever(func() error { return p.fr.WriteRawFrame(0xbb, 0, id, nil) }) }, "ENHANCE_YOUR_CALM"},
		"window updates":       {func(p *peer, _ uint32) { forever(func() error { return p.fr.WriteWindowUpdate(0, 1) }) }, "ENHANCE_YOUR_CALM"},
		"goaways":              {func(p *peer, id uint32) { forever(func() error { return p.fr.WriteGoAway(id, http2.ErrCodeNo, nil) }) }, "ENHANCE_YOUR_CALM"},
		"resets of one stream": {func(p *peer, id uint32) { forever(func() error { return p.fr.WriteRSTStream(id, http2.ErrCodeNo) }) }, ""},
		"headers of a stream that is over": {func(p *peer, id uint32) {
			p.end(id, "")
			forever(func() error {
				return p.fr.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: p.encode(":status", "200"), EndHeaders: true})
			})
		}, ""},
		"continuations without an end": {func(p *peer, id uint32) {
			_ = p.fr.WriteHeaders(http2.HeadersFrameParam{StreamID: id})
			forever(func() error { return p.fr.WriteContinuation(id, false, nil) })
		}, "ENHANCE_YOUR_CALM"},
		"continuations with a list without an end": {func(p *peer, id uint32) {
			_ = p.fr.WriteHeaders(http2.HeadersFrameParam{StreamID: id})
			forever(func() error {
				return p.fr.WriteContinuation(id, false, p.encode("x", strings.Repeat("~", 3000)))
			})
		}, "PROTOCOL_ERROR"},
		"a bomb of indexed headers": {func(p *peer, id uint32) { // 4 KB in the table, referenced 100,000 times
			block := append(p.encode("x", strings.Repeat("~", 4000)), make([]byte, 0)...)
			for range 16_000 {
				block = append(block, 0x80|62)
			}
			_ = p.fr.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: block[:10_000]})
			for range 6 {
				_ = p.fr.WriteContinuation(id, false, block[10_000:])
			}
		}, "PROTOCOL_ERROR"},
		"a stream that was never opened": {func(p *peer, id uint32) { p.data(id+2, "x") }, "PROTOCOL_ERROR"},
		"headers on one":                 {func(p *peer, id uint32) { p.open(id + 100) }, "PROTOCOL_ERROR"},
		"a reset of one":                 {func(p *peer, id uint32) { _ = p.fr.WriteRSTStream(id+2, 0) }, "PROTOCOL_ERROR"},
		"an update of one":               {func(p *peer, id uint32) { _ = p.fr.WriteWindowUpdate(id+2, 1) }, "PROTOCOL_ERROR"},
		"a stream of its own":            {func(p *peer, _ uint32) { p.open(2) }, "PROTOCOL_ERROR"},
		"a push": {func(p *peer, id uint32) {
			_ = p.fr.WritePushPromise(http2.PushPromiseParam{StreamID: id, PromiseID: 2, BlockFragment: p.encode(":method", "GET"), EndHeaders: true})
		}, "PROTOCOL_ERROR"},
		"a wish to push": {func(p *peer, _ uint32) { p.settings(http2.Setting{ID: http2.SettingEnablePush, Val: 1}) }, "PROTOCOL_ERROR"},
		"an increment of 0": {func(p *peer, _ uint32) {
			_ = p.fr.WriteRawFrame(http2.FrameWindowUpdate, 0, 0, make([]byte, 4))
		}, "PROTOCOL_ERROR"},
		"a window that is too large": {func(p *peer, _ uint32) { _ = p.fr.WriteWindowUpdate(0, 1<<31-1) }, "FLOW_CONTROL_ERROR"},
		"windows that are too large": {func(p *peer, id uint32) {
			_ = p.fr.WriteWindowUpdate(id, 1<<31-1-65535)
			p.settings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 65536})
		}, "FLOW_CONTROL_ERROR"},
		"a setting out of range":     {func(p *peer, _ uint32) { p.settings(http2.Setting{ID: http2.SettingMaxFrameSize, Val: 1}) }, "PROTOCOL_ERROR"},
		"a frame that is too large":  {func(p *peer, id uint32) { _ = p.fr.WriteRawFrame(http2.FrameData, 0, id, make([]byte, maxFrame+1)) }, "FRAME_SIZE_ERROR"},
		"a ping of the wrong length": {func(p *peer, _ uint32) { _ = p.fr.WriteRawFrame(http2.FramePing, 0, 0, make([]byte, 7)) }, "FRAME_SIZE_ERROR"},
		"data on no stream":          {func(p *peer, _ uint32) { _ = p.fr.WriteRawFrame(http2.FrameData, 0, 0, nil) }, "PROTOCOL_ERROR"},
		"a continuation of nothing":  {func(p *peer, id uint32) { _ = p.fr.WriteContinuation(id, true, nil) }, "PROTOCOL_ERROR"},
		"data amid a header block": {func(p *peer, id uint32) {
			_ = p.fr.WriteHeaders(http2.HeadersFrameParam{StreamID: id})
			p.data(id, "x")
		}, "PROTOCOL_ERROR"},
		"garbled compression": {func(p *peer, id uint32) {
			_ = p.fr.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: []byte{0xff, 0xff, 0xff, 0xff, 0xff}, EndHeaders: true})
		}, "COMPRESSION_ERROR"},
		"more than the connection's window": {func(p *peer, id uint32) { // by ended streams
			p.end(id, "")
			forever(func() error { return p.fr.WriteData(id, false, make([]byte, 10)) })
		}, ""},
		"another protocol": {func(p *peer, _ uint32) {
			_, _ = p.nc.Write([]byte(strings.Repeat("HTTP/1.1 400 Bad Request\r\n\r\n", 100)))
		}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := serve(t, func(p *peer) {
				if p.n > 1 {
					echo(p)
					return
				}
				if attack.do == nil {
					p.request() // a request that was not sent uses another connection
					_ = p.fr.WritePing(false, [8]byte{})
				} else {
					p.settings()
					id := p.request()
					p.open(id)
					attack.do(p, id)
				}
				if f := p.awaitType(http2.FrameGoAway); attack.want != "" && f.code.String() != attack.want && f.Length > 0 {
					t.Errorf("got a GOAWAY with %v, want %v", f.code, attack.want)
				}
			})
			tr := s.client(Options{})
			res, err := get(t.Context(), tr, s.url)
			if err == nil {
				_, err = io.Copy(io.Discard, res.Body)
				defer res.Body.Close()
			}
			if attack.want != "" && (err == nil || code(err).String() != attack.want) {
				t.Errorf("got %v, want %s", err, attack.want)
			}
			wait(t, func() bool { return tr.Connections() == 0 })
			read(t, open(t, tr, s.url), "2")
		})
	}
}

// If a server floods the client and reads nothing, responses must not pile up, and the
// reader must not block.
func TestConn_PingsOfAServerThatReadsNothing_EndIt(t *testing.T) {
	t.Parallel()
	s := serve(t, func(p *peer) {
		if p.n > 1 {
			echo(p)
			return
		}
		p.settings()
		p.open(p.request())
		for len(p.frames) < cap(p.frames) { // after that its reader stops
			if p.fr.WritePing(false, [8]byte{}) != nil {
				break
			}
		}
		for err := error(nil); err == nil; err = p.fr.WritePing(false, [8]byte{}) {
			continue
		}
		p.awaitType(http2.FrameGoAway)
	})
	tr := s.client(Options{})
	ends(t, open(t, tr, s.url), "ENHANCE_YOUR_CALM")
	read(t, open(t, tr, s.url), "2")
}
