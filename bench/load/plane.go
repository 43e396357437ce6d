package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

const planeKey = "afm_bench"

// plane is a control plane that does nothing but play events: as little work as
// can be, for it shares the machine with whoever is measured.
type plane struct {
	mu       sync.Mutex
	sessions map[string]*talk
	order    []*talk
}

// talk is one session.
type talk struct {
	id string

	mu      sync.Mutex
	frames  [][]byte // as chunks of HTTP/1.1; frames[i] has the seq first+i
	first   int64
	texts   int64 // text events so far
	streams map[net.Conn]bool
}

// keptFrames bounds what a session can replay.
const keptFrames = 4096

func servePlane(addr string) error {
	p := &plane{sessions: map[string]*talk{}}
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
	return http.ListenAndServe(addr, mux) //nolint:gosec // loopback, for minutes
}

func answer(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(v) // whoever asked sees that it is cut off
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
	t := &talk{id: fmt.Sprintf("00000000-0000-4000-8000-%012d", len(p.order)+1), first: 1, streams: map[net.Conn]bool{}}
	p.sessions[t.id] = t
	p.order = append(p.order, t)
	return t
}

// createMany makes sessions of which each has had its first message.
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

// stream sends what came after the last event id, and then what comes.
func stream(w http.ResponseWriter, r *http.Request, t *talk) {
	since, _ := strconv.ParseInt(r.Header.Get("Last-Event-ID"), 10, 64)
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return
	}
	_ = conn.SetDeadline(time.Time{})
	head := "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nCache-Control: no-store\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n:ok\n\n\r\n"
	t.mu.Lock()
	replay := [][]byte{[]byte(head)}
	if i := max(since+1-t.first, 0); i < int64(len(t.frames)) {
		replay = append(replay, t.frames[i:]...)
	}
	_, err = conn.Write(bytes.Join(replay, nil))
	if err == nil {
		t.streams[conn] = true
	}
	t.mu.Unlock()
	go func() { // notices that the other side has gone
		_, _ = conn.Read(make([]byte, 1))
		t.mu.Lock()
		delete(t.streams, conn)
		t.mu.Unlock()
		_ = conn.Close()
	}()
}

// emit numbers an event and sends it to every stream.
func (t *talk) emit(payload string) int64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.send(payload)
}

func (t *talk) send(payload string) int64 {
	seq := t.first + int64(len(t.frames))
	event := "id: " + strconv.FormatInt(seq, 10) + "\ndata: " + payload + "\n\n"
	frame := []byte(strconv.FormatInt(int64(len(event)), 16) + "\r\n" + event + "\r\n")
	if len(t.frames) == 2*keptFrames {
		t.frames = append([][]byte(nil), t.frames[keptFrames:]...)
		t.first += keptFrames
	}
	t.frames = append(t.frames, frame)
	for conn := range t.streams {
		if _, err := conn.Write(frame); err != nil && !errors.Is(err, syscall.EAGAIN) {
			delete(t.streams, conn)
		}
	}
	return seq
}

var padding = strings.Repeat("lorem ipsum dolor ", 8)[:80]

// block is how many deltas make a block that is then told whole.
const block = 40

// speak sends the next piece of an answer, with the time and its number in it.
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

// play lets every session speak so many times at a rate per second, 0 for as
// fast as the readers take it, and answers when it is over.
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
