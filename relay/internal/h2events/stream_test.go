package h2events

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"

	"golang.org/x/net/http2"
)

func TestStream_Answer_HasStatusHeadersAndBody(t *testing.T) {
	t.Parallel()
	s := serve(t, func(p *peer) {
		p.settings()
		req := p.awaitType(http2.FrameHeaders)
		want := map[string]string{
			":method": "GET", ":scheme": "https", ":path": "/api/sessions/x/events", "authorization": "Bearer afm_key", "accept": "text/event-stream",
		}
		for name, value := range want {
			if req.fields[name] != value {
				t.Errorf("%s: got %q, want %q", name, req.fields[name], value)
			}
		}
		if !req.Flags.Has(http2.FlagHeadersEndStream) {
			t.Error("the request does not end with its headers")
		}
		p.headers(req.StreamID, false, ":status", "200", "content-type", "text/event-stream", "x-request-id", "r1", "x-two", "a", "x-two", "b")
		p.data(req.StreamID, "data: 1\n\n")
		p.end(req.StreamID, "data: 2\n\n")
	})
	res := open(t, s.client(Options{}), s.url)
	if res.StatusCode != 200 || res.Proto != "HTTP/2.0" || res.Header.Get("X-Request-Id") != "r1" || len(res.Header["X-Two"]) != 2 {
		t.Errorf("got %d, %s, %v", res.StatusCode, res.Proto, res.Header)
	}
	if got, want := all(t, res), "data: 1\n\ndata: 2\n\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestStream_PaddingUnknownFramesInformationalAndTrailers_AreLeftOut(t *testing.T) {
	t.Parallel()
	s := serve(t, func(p *peer) {
		p.settings()
		id := p.request()
		_ = p.fr.WriteRawFrame(0xee, 0xff, id, []byte("unknown"))
		p.headers(id, false, ":status", "103", "link", "</a>")
		p.headers(id, false, ":status", "100")
		_ = p.fr.WritePriority(id, http2.PriorityParam{Weight: 7})
		p.open(id)
		_ = p.fr.WriteDataPadded(id, false, []byte("one"), make([]byte, 200))
		_ = p.fr.WriteRawFrame(0x0c, 0, 0, []byte("origin"))
		_ = p.fr.WriteDataPadded(id, false, nil, make([]byte, 255))
		_ = p.fr.WriteDataPadded(id, false, []byte("two"), []byte{})
		p.headers(id, true, "grpc-status", "0")
	})
	if got := all(t, open(t, s.client(Options{}), s.url)); got != "onetwo" {
		t.Errorf("got %q, want onetwo", got)
	}
}

func TestStream_HeadersInContinuations_AreOneBlock(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("v", 40_000)
	s := serve(t, func(p *peer) {
		p.settings()
		id := p.request()
		block := p.encode(":status", "200", "x-long", long)
		_ = p.fr.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: block[:1]})
		for rest := block[1:]; len(rest) > 0; {
			n := min(len(rest), 9000)
			_ = p.fr.WriteContinuation(id, n == len(rest), rest[:n])
			rest = rest[n:]
		}
		p.end(id, "x")
	})
	res := open(t, s.client(Options{}), s.url)
	if res.Header.Get("X-Long") != long || all(t, res) != "x" {
		t.Error("the header is not what was sent")
	}
}

func TestStream_RequestOverTheFrameSize_IsSentInContinuations(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("~", 60_000)
	s := serve(t, func(p *peer) {
		p.settings()
		req := p.awaitType(http2.FrameHeaders)
		if req.fields["x-long"] != long {
			t.Errorf("got a header of %d bytes, want %d", len(req.fields["x-long"]), len(long))
		}
		p.headers(req.StreamID, true, ":status", "204")
	})
	r, _ := http.NewRequestWithContext(t.Context(), http.MethodGet, s.url, nil)
	r.Header.Set("Accept", "text/event-stream")
	r.Header.Set("X-Long", long)
	res, err := s.client(Options{}).RoundTrip(r)
	if err != nil || res.StatusCode != 204 {
		t.Fatalf("got %v, %v, want 204", res, err)
	}
	res.Body.Close()
}

func TestStream_RefusalWithABody_CanBeRead(t *testing.T) {
	t.Parallel()
	s := serve(t, func(p *peer) {
		p.settings()
		id := p.request()
		p.headers(id, false, ":status", "409", "content-type", "application/json", "content-length", "15")
		p.end(id, `{"detail":"no"}`)
	})
	res := open(t, s.client(Options{}), s.url)
	if body := all(t, res); res.StatusCode != 409 || body != `{"detail":"no"}` || res.ContentLength != 15 {
		t.Errorf("got %d, %q, %d bytes, want 409 and its body", res.StatusCode, body, res.ContentLength)
	}
}

func TestStream_WrongAnswers_AreErrorsOfTheStream(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		answer func(*peer, uint32)
		code   http2.ErrCode
	}{
		"data first":            {func(p *peer, id uint32) { p.data(id, "x") }, http2.ErrCodeProtocol},
		"no status":             {func(p *peer, id uint32) { p.headers(id, false, "a", "b") }, http2.ErrCodeProtocol},
		"not a number":          {func(p *peer, id uint32) { p.headers(id, false, ":status", "2x0") }, http2.ErrCodeProtocol},
		"switching protocols":   {func(p *peer, id uint32) { p.headers(id, false, ":status", "101") }, http2.ErrCodeProtocol},
		"a request":             {func(p *peer, id uint32) { p.headers(id, false, ":method", "GET", ":path", "/") }, http2.ErrCodeProtocol},
		"two statuses":          {func(p *peer, id uint32) { p.headers(id, false, ":status", "200", ":status", "200") }, http2.ErrCodeProtocol},
		"upper case":            {func(p *peer, id uint32) { p.headers(id, false, ":status", "200", "A", "b") }, http2.ErrCodeProtocol},
		"informational and end": {func(p *peer, id uint32) { p.headers(id, true, ":status", "100") }, http2.ErrCodeProtocol},
		"informational for ever": {func(p *peer, id uint32) {
			for range 100 {
				p.headers(id, false, ":status", "103")
			}
		}, http2.ErrCodeProtocol},
		"headers too large": {func(p *peer, id uint32) {
			p.headers(id, false, ":status", "200", "a", strings.Repeat("~", 15_000), "b", strings.Repeat("~", 1000))
			p.headers(id, false, ":status", "200")
		}, http2.ErrCodeProtocol},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := serve(t, func(p *peer) {
				p.settings()
				id := p.request()
				c.answer(p, id)
				if reset := p.awaitType(http2.FrameRSTStream); reset.StreamID != id || reset.code != c.code {
					t.Errorf("got %v, want a reset with %v", reset, c.code)
				}
				next := p.request() // the connection still works
				p.headers(next, true, ":status", "204")
				p.awaitType(http2.FrameGoAway)
			})
			tr := s.client(Options{})
			res, err := get(t.Context(), tr, s.url)
			if err == nil {
				_, err = io.Copy(io.Discard, res.Body)
			}
			if code(err) != c.code {
				t.Errorf("got %v, want %v", err, c.code)
			}
			if res := open(t, tr, s.url); res.StatusCode != 204 {
				t.Errorf("got %d, want 204", res.StatusCode)
			}
			if n := s.connections(); n != 1 {
				t.Errorf("got %d connections, want 1", n)
			}
			tr.CloseIdleConnections()
		})
	}
}

func TestStream_WrongBody_IsAnError(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		body func(*peer, uint32)
		want string
	}{
		"less than the length": {func(p *peer, id uint32) {
			p.headers(id, false, ":status", "200", "content-length", "5")
			p.end(id, "x")
		}, "unexpected EOF"},
		"more than the length": {func(p *peer, id uint32) {
			p.headers(id, false, ":status", "200", "content-length", "5")
			p.data(id, "123456")
		}, "content-length"},
		"a second answer": {func(p *peer, id uint32) {
			p.open(id)
			p.headers(id, false, ":status", "200")
		}, "second answer"},
		"trailers with a status": {func(p *peer, id uint32) {
			p.open(id)
			p.headers(id, true, ":status", "200")
		}, "second answer"},
		"reset": {func(p *peer, id uint32) {
			p.open(id)
			_ = p.fr.WriteRSTStream(id, http2.ErrCodeInternal)
		}, "INTERNAL_ERROR"},
		"reset without an error": {func(p *peer, id uint32) {
			p.open(id)
			_ = p.fr.WriteRSTStream(id, http2.ErrCodeNo)
		}, "NO_ERROR"},
		"an increment of 0": {func(p *peer, id uint32) {
			p.open(id)
			_ = p.fr.WriteRawFrame(http2.FrameWindowUpdate, 0, id, make([]byte, 4))
		}, "PROTOCOL_ERROR"},
		"a window that is too large": {func(p *peer, id uint32) {
			p.open(id)
			_ = p.fr.WriteWindowUpdate(id, 1<<31-1)
		}, "FLOW_CONTROL_ERROR"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := serve(t, func(p *peer) {
				p.settings()
				c.body(p, p.request())
				p.awaitType(http2.FrameGoAway)
			})
			tr := s.client(Options{})
			ends(t, open(t, tr, s.url), c.want)
			tr.CloseIdleConnections()
		})
	}
}

func TestStream_Close_ResetsAndFreesThePlace(t *testing.T) {
	t.Parallel()
	s := serve(t, func(p *peer) {
		p.settings(http2.Setting{ID: http2.SettingMaxConcurrentStreams, Val: 1})
		for range 3 {
			id := p.request()
			p.open(id)
			p.data(id, "x")
			if reset := p.awaitType(http2.FrameRSTStream); reset.StreamID != id || reset.code != http2.ErrCodeCancel {
				t.Errorf("got %v, want a reset of %d with CANCEL", reset, id)
			}
			p.data(id, "late") // allowed for a while
		}
		p.awaitType(http2.FrameGoAway)
	})
	tr := s.client(Options{})
	for range 3 {
		res := open(t, tr, s.url)
		read(t, res, "x")
		res.Body.Close()
		if _, err := res.Body.Read(make([]byte, 1)); !errors.Is(err, errBodyClosed) {
			t.Errorf("got %v, want errBodyClosed", err)
		}
	}
	if n := s.connections(); n != 1 {
		t.Errorf("got %d connections, want 1", n)
	}
	tr.CloseIdleConnections()
}

func TestStream_ContextEnds_EndsTheStream(t *testing.T) {
	t.Parallel()
	for _, when := range []string{"before the answer", "after it", "while nobody reads"} {
		t.Run(when, func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithCancel(t.Context())
			s := serve(t, func(p *peer) {
				p.settings()
				id := p.request()
				if when == "before the answer" {
					cancel()
				} else {
					p.open(id)
				}
				if reset := p.awaitType(http2.FrameRSTStream); reset.code != http2.ErrCodeCancel {
					t.Errorf("got %v, want a reset with CANCEL", reset)
				}
			})
			res, err := get(ctx, s.client(Options{}), s.url)
			switch when {
			case "before the answer":
			case "after it":
				go cancel()
				_, err = res.Body.Read(make([]byte, 1))
			default:
				told := make(chan struct{})
				if !res.Body.(*stream).Notify(func() { close(told) }) {
					t.Fatal("something has come")
				}
				cancel()
				<-told
				_, err = res.Body.(*stream).TryRead(make([]byte, 1))
			}
			if !errors.Is(err, context.Canceled) {
				t.Errorf("got %v, want canceled", err)
			}
		})
	}
}

func TestStream_Parked_IsToldOfBytesAndOfTheEnd(t *testing.T) {
	t.Parallel()
	steps := make(chan func(*peer, uint32))
	s := serve(t, func(p *peer) {
		p.settings()
		id := p.request()
		p.open(id)
		for step := range steps {
			step(p, id)
		}
	})
	body := open(t, s.client(Options{}), s.url).Body.(*stream)
	told := make(chan struct{}, 1)
	buf := make([]byte, 2)
	try := func(want string, wantErr error) {
		t.Helper()
		n, err := body.TryRead(buf)
		if string(buf[:n]) != want || !errors.Is(err, wantErr) {
			t.Errorf("got %q, %v, want %q, %v", buf[:n], err, want, wantErr)
		}
	}
	park := func(want bool) {
		t.Helper()
		if got := body.Notify(func() { told <- struct{}{} }); got != want {
			t.Errorf("got %v, want %v", got, want)
		}
	}
	try("", nil)
	park(true)
	steps <- func(p *peer, id uint32) { p.data(id, "abc") }
	<-told
	try("ab", nil)
	park(false)
	try("c", nil)
	try("", nil)
	park(true)
	steps <- func(p *peer, id uint32) { p.end(id, "") }
	<-told
	park(false)
	try("", io.EOF)
	close(steps)
}

// The window is replenished when the reader calls again, not when it takes the bytes.
func TestStream_Window_IsGivenBackOnlyForWhatIsDone(t *testing.T) {
	t.Parallel()
	s := serve(t, func(p *peer) {
		p.settings()
		slow, other := p.request(), p.request()
		p.open(slow)
		p.open(other)
		for range streamWindow / maxFrame {
			p.data(slow, strings.Repeat("x", maxFrame))
		}
		// Whatever the slow one does, the other receives megabytes.
		for total, room := 0, streamWindow; total < 2<<20; {
			n := min(maxFrame, room)
			p.data(other, strings.Repeat("y", n))
			total, room = total+n, room-n
			for room == 0 {
				f := p.await(func(f sent) bool { return f.Type == http2.FrameWindowUpdate || f.Type == http2.FrameRSTStream })
				switch f.StreamID {
				case slow:
					t.Error("the slow stream was given room")
					return
				case other:
					room += int(f.increment)
				}
			}
		}
		p.end(other, "")
		if f := p.await(func(f sent) bool { return f.Type == http2.FrameWindowUpdate && f.StreamID == slow }); f.increment < streamWindow/2 {
			t.Errorf("got %d bytes of room, want at least half a window", f.increment)
		}
		p.end(slow, "z")
	})
	tr := s.client(Options{})
	slow, other := open2(t, tr, s.url)
	taken := make([]byte, streamWindow)
	if n, err := slow.Body.Read(taken); n == 0 || err != nil { // and is now processing it
		t.Fatal(n, err)
	}
	if n, err := io.Copy(io.Discard, other.Body); n != 2<<20 || err != nil {
		t.Errorf("got %d bytes, %v, want all", n, err)
	}
	if rest := all(t, slow); !strings.HasSuffix(rest, "z") {
		t.Error("the slow stream was not read to its end")
	}
}

// open2 requests two streams, one after the other.
func open2(t *testing.T, tr http.RoundTripper, url string) (first, second *http.Response) {
	t.Helper()
	var both sync.WaitGroup
	results := make(chan *http.Response, 2)
	for range 2 {
		both.Go(func() {
			res, err := get(t.Context(), tr, url)
			if err != nil {
				t.Error(err)
				return
			}
			results <- res
		})
	}
	both.Wait()
	if t.Failed() {
		t.FailNow()
	}
	first, second = <-results, <-results
	if first.Body.(*stream).id > second.Body.(*stream).id {
		first, second = second, first
	}
	return first, second
}

func TestStream_OverItsWindow_IsReset(t *testing.T) {
	t.Parallel()
	s := serve(t, func(p *peer) {
		p.settings()
		id := p.request()
		p.open(id)
		for range streamWindow/maxFrame + 1 {
			p.data(id, strings.Repeat("x", maxFrame))
		}
		if reset := p.awaitType(http2.FrameRSTStream); reset.code != http2.ErrCodeFlowControl {
			t.Errorf("got %v, want FLOW_CONTROL_ERROR", reset)
		}
	})
	res := open(t, s.client(Options{}), s.url)
	told := make(chan struct{})
	for body := res.Body.(*stream); ; { // reads nothing until the end
		body.c.mu.Lock()
		over := body.err != nil
		body.c.mu.Unlock()
		if over {
			break
		}
		if body.Notify(func() { close(told) }) {
			<-told
		}
	}
	ends(t, res, "FLOW_CONTROL_ERROR")
}

func TestStream_InvalidHeader_IsRefusedBeforeItIsSent(t *testing.T) {
	t.Parallel()
	s := serve(t, func(p *peer) {
		p.settings()
		p.headers(p.request(), true, ":status", "204")
		p.awaitType(http2.FrameGoAway)
	})
	tr := s.client(Options{})
	r, _ := http.NewRequestWithContext(t.Context(), http.MethodGet, s.url, nil)
	r.Header = http.Header{"Accept": {"text/event-stream"}, "Last-Event-Id": {"1\r\nx: y"}}
	if res, err := tr.RoundTrip(r); err == nil {
		res.Body.Close()
		t.Error("got an answer, want an error")
	}
	if res := open(t, tr, s.url); res.StatusCode != 204 {
		t.Error(fmt.Sprint(res.StatusCode))
	}
	tr.CloseIdleConnections()
}
