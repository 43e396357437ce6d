package main

import (
	"bytes"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"
)

const planeKey = "afm_bench"

// plane is a control plane that only plays events. It does as little work as
// possible, because it shares the machine with the measured program.
type plane struct {
	mu       sync.Mutex
	sessions map[string]*talk
	order    []*talk
}

// talk is one session.
type talk struct {
	id string

	mu      sync.Mutex
	frames  [][]byte // frames[i] has the seq first+i
	first   int64
	texts   int64 // text events so far
	streams map[sink]bool
	sent    time.Time // when anything was last sent
}

// sink is an event stream with a reader.
type sink interface {
	// send sends one or more events. The argument of the first call is called when the
	// reader has left.
	send(event []byte, left func()) error
}

// keepalive is how long a stream is silent before it gets a comment, as AnyFrame's do.
const keepalive = 15 * time.Second

// keptFrames bounds how many events a session can replay.
const keptFrames = 4096

// handler serves the API and, for the client, the routes that make sessions speak.
func (p *plane) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /api/me", func(w http.ResponseWriter, _ *http.Request) {
		answer(w, map[string]any{"id": 1, "email": "bench@example.com"})
	})
	mux.HandleFunc("POST /api/sessions", func(w http.ResponseWriter, _ *http.Request) { answer(w, p.create().record()) })
	mux.HandleFunc("GET /api/sessions/{id}", p.with(func(w http.ResponseWriter, _ *http.Request, t *talk) { answer(w, t.record()) }))
	mux.HandleFunc("POST /api/sessions/{id}/message", p.with(message))
	mux.HandleFunc("GET /api/sessions/{id}/transcript", p.with(transcript))
	mux.HandleFunc("GET /api/sessions/{id}/events", p.with(stream))
	mux.HandleFunc("POST /bench/sessions", p.createMany)
	mux.HandleFunc("POST /bench/play", p.play)
	mux.HandleFunc("POST /bench/end", p.end)
	return mux
}

// servePlane serves the client on one address and the peers on another, in the
// measured configuration.
func servePlane(addr, upstream, dir string, sh shape) error {
	p := &plane{sessions: map[string]*talk{}}
	go p.keepAlive()
	failed := make(chan error, 2)
	go func() { failed <- http.ListenAndServe(addr, p.handler()) }() //nolint:gosec // loopback, for minutes
	if sh.proto != protoPlain {
		go func() { failed <- p.serveTLS(upstream, dir, sh) }()
	}
	return <-failed
}

// keepAlive sends comments to silent streams.
func (p *plane) keepAlive() {
	for now := range time.Tick(keepalive / 15) {
		p.mu.Lock()
		all := append([]*talk(nil), p.order...)
		p.mu.Unlock()
		for _, t := range all {
			t.keepAlive(now)
		}
	}
}

func (p *plane) serveTLS(addr, dir string, sh shape) error {
	srv := &http.Server{Addr: addr, Handler: p.handler()} //nolint:gosec // loopback, for minutes
	srv.TLSConfig = &tls.Config{NextProtos: []string{"http/1.1"}}
	srv.TLSNextProto = map[string]func(*http.Server, *tls.Conn, http.Handler){}
	if sh.proto == protoH2 {
		srv.TLSConfig.NextProtos = []string{"h2", "http/1.1"}
		srv.TLSNextProto["h2"] = func(_ *http.Server, conn *tls.Conn, h http.Handler) {
			serveH2(conn, h, sh.streams, p.listening)
		}
	}
	return srv.ListenAndServeTLS(filepath.Join(dir, certFile), filepath.Join(dir, keyFile))
}

// listening returns the session in a path, and the seq to continue after.
func (p *plane) listening(path, lastEventID string) (*talk, int64) {
	rest, ok := strings.CutSuffix(path, "/events")
	if !ok {
		return nil, 0
	}
	since, _ := strconv.ParseInt(lastEventID, 10, 64)
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.sessions[strings.TrimPrefix(rest, "/api/sessions/")], since
}

func answer(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(v) // the client detects a truncated body
}

func (p *plane) with(h func(http.ResponseWriter, *http.Request, *talk)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		p.mu.Lock()
		t := p.sessions[r.PathValue("id")]
		p.mu.Unlock()
		if t == nil {
			http.NotFound(w, r)
			return
		}
		h(w, r, t)
	}
}

func (p *plane) create() *talk {
	p.mu.Lock()
	defer p.mu.Unlock()
	t := &talk{id: fmt.Sprintf("00000000-0000-4000-8000-%012d", len(p.order)+1), first: 1, streams: map[sink]bool{}}
	p.sessions[t.id] = t
	p.order = append(p.order, t)
	return t
}

// createMany creates sessions, each with its first message.
func (p *plane) createMany(w http.ResponseWriter, r *http.Request) {
	n, _ := strconv.Atoi(r.FormValue("n"))
	ids := []string{}
	for range n {
		t := p.create()
		t.emit(userEvent)
		ids = append(ids, t.id)
	}
	answer(w, ids)
}

func (t *talk) record() map[string]any {
	const at = "2026-01-01T00:00:00Z"
	return map[string]any{
		"id": t.id, "agent_id": 1, "status": "running", "idle_timeout_s": 300, "previews": []any{}, "created_at": at, "last_active": at,
	}
}

const (
	userEvent = `{"type":"user_message","text":"hello"}`
	endEvent  = `{"type":"result","subtype":"success","is_error":false}`
)

func message(w http.ResponseWriter, _ *http.Request, t *talk) {
	answer(w, map[string]any{"ok": true, "seq": t.emit(userEvent)})
}

func transcript(w http.ResponseWriter, r *http.Request, t *talk) {
	since, _ := strconv.ParseInt(r.FormValue("since"), 10, 64)
	limit, _ := strconv.Atoi(r.FormValue("limit"))
	t.mu.Lock()
	defer t.mu.Unlock()
	rows := []map[string]any{}
	for i := max(since+1-t.first, 0); i < int64(len(t.frames)) && len(rows) < limit; i++ {
		_, data, _ := bytes.Cut(t.frames[i], []byte("data: "))
		data, _, _ = bytes.Cut(data, []byte("\n"))
		rows = append(rows, map[string]any{"seq": t.first + i, "payload": json.RawMessage(data), "created_at": "2026-01-01T00:00:00Z"})
	}
	answer(w, rows)
}

// stream sends the events after the last event id, then new ones.
func stream(w http.ResponseWriter, r *http.Request, t *talk) {
	since, _ := strconv.ParseInt(r.Header.Get("Last-Event-ID"), 10, 64)
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return
	}
	_ = conn.SetDeadline(time.Time{})
	head := "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nCache-Control: no-store\r\nTransfer-Encoding: chunked\r\n\r\n"
	if _, err := io.WriteString(conn, head); err != nil {
		_ = conn.Close()
		return
	}
	t.listen(&h1stream{conn}, since)
}

// h1stream is an event stream over HTTP/1.1.
type h1stream struct{ conn net.Conn }

func (h *h1stream) send(event []byte, left func()) error {
	chunk := append(strconv.AppendInt(make([]byte, 0, len(event)+12), int64(len(event)), 16), '\r', '\n')
	_, err := h.conn.Write(append(append(chunk, event...), '\r', '\n'))
	if left != nil {
		go func() { // detects that the peer has left
			_, _ = h.conn.Read(make([]byte, 1))
			left()
			_ = h.conn.Close()
		}()
	}
	return err
}

// listen sends the events after since to a stream, then new ones.
func (t *talk) listen(st sink, since int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	replay := [][]byte{[]byte(":ok\n\n")}
	if i := max(since+1-t.first, 0); i < int64(len(t.frames)) {
		replay = append(replay, t.frames[i:]...)
	}
	t.streams[st], t.sent = true, time.Now()
	left := func() {
		t.mu.Lock()
		defer t.mu.Unlock()
		delete(t.streams, st)
	}
	if st.send(bytes.Join(replay, nil), left) != nil {
		delete(t.streams, st)
	}
}

func (t *talk) keepAlive(now time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.streams) > 0 && now.Sub(t.sent) >= keepalive {
		t.sendAll([]byte(": keepalive\n\n"))
	}
}

// sendAll sends a frame to every stream. The caller holds mu.
func (t *talk) sendAll(frame []byte) {
	t.sent = time.Now()
	for st := range t.streams {
		if st.send(frame, nil) != nil {
			delete(t.streams, st)
		}
	}
}

// emit numbers an event and sends it to every stream.
func (t *talk) emit(payload string) int64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.send(payload)
}

func (t *talk) send(payload string) int64 {
	seq := t.first + int64(len(t.frames))
	frame := []byte("id: " + strconv.FormatInt(seq, 10) + "\ndata: " + payload + "\n\n")
	if len(t.frames) == 2*keptFrames {
		t.frames = append([][]byte(nil), t.frames[keptFrames:]...)
		t.first += keptFrames
	}
	t.frames = append(t.frames, frame)
	t.sendAll(frame)
	return seq
}

// padding makes an event as long as measured ones.
var padding = text(80)

// text returns n bytes of words.
func text(n int) string { return strings.Repeat("lorem ipsum dolor ", 1+n/18)[:n] }

// block is the number of deltas after which the complete block is sent.
const block = 40

// speak sends the next delta of an answer, with the time and its number.
func (t *talk) speak() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.texts++
	delta := `"delta":true,`
	if t.texts%block == 0 {
		delta = ""
	}
	t.send(fmt.Sprintf(`{"type":"assistant",%s"message":{"content":[{"type":"text","text":"%s%d.%d %s"}]}}`,
		delta, marker, time.Now().UnixNano(), t.texts, padding))
}

// play lets every session speak a number of times at a rate per second (0 means as
// fast as the readers accept), and responds at the end.
func (p *plane) play(w http.ResponseWriter, r *http.Request) {
	rate, _ := strconv.ParseFloat(r.FormValue("rate"), 64)
	events, _ := strconv.Atoi(r.FormValue("events"))
	p.mu.Lock()
	all := append([]*talk(nil), p.order...)
	p.mu.Unlock()
	start := time.Now()
	var wg sync.WaitGroup
	for i, t := range all {
		wg.Go(func() {
			for n := range events {
				if rate > 0 {
					phase := float64(i) / float64(len(all))
					time.Sleep(time.Until(start.Add(time.Duration((float64(n) + phase) / rate * float64(time.Second)))))
				}
				t.speak()
			}
		})
	}
	wg.Wait()
	answer(w, map[string]any{"seconds": time.Since(start).Seconds()})
}

// end ends every session's turn.
func (p *plane) end(w http.ResponseWriter, _ *http.Request) {
	p.mu.Lock()
	all := append([]*talk(nil), p.order...)
	p.mu.Unlock()
	for _, t := range all {
		t.emit(endEvent)
	}
	answer(w, map[string]any{})
}
