package anyframetest_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/anyframe-relay/relay/anyframe/anyframetest"
)

// The tests use only net/http to call the server: they test the wire format.

// request sends one request with the key and a JSON body, if there is one.
func request(t *testing.T, cp *anyframetest.Server, method, path string, body any) (*http.Response, error) {
	t.Helper()
	var reader io.Reader
	if raw, is := body.(string); is {
		reader = strings.NewReader(raw)
	} else if body != nil {
		data, err := json.Marshal(body)
		if err != nil {
			t.Fatal(err)
		}
		reader = bytes.NewReader(data)
	}
	r, err := http.NewRequestWithContext(t.Context(), method, cp.URL()+path, reader)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+cp.Key())
	if body != nil {
		r.Header.Set("Content-Type", "application/json")
	}
	// One connection each. Otherwise requests that Go's transport retries after a kept
	// connection breaks would be counted twice.
	r.Close = true
	return http.DefaultTransport.RoundTrip(r)
}

// call sends one request, requires the status, and returns the decoded body.
func call(t *testing.T, cp *anyframetest.Server, method, path string, body any, status int) map[string]any {
	t.Helper()
	raw := callRaw(t, cp, method, path, body, status)
	if len(raw) == 0 {
		return nil
	}
	var v map[string]any
	if err := json.Unmarshal(raw, &v); err != nil {
		t.Fatalf("%s %s: got body %s, want an object", method, path, raw)
	}
	return v
}

func callRaw(t *testing.T, cp *anyframetest.Server, method, path string, body any, status int) []byte {
	t.Helper()
	res, err := request(t, cp, method, path, body)
	if err != nil {
		t.Fatalf("%s %s: %v", method, path, err)
	}
	defer func() { _ = res.Body.Close() }()
	raw, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatalf("%s %s: %v", method, path, err)
	}
	if res.StatusCode != status {
		t.Fatalf("%s %s: got %d %s, want %d", method, path, res.StatusCode, raw, status)
	}
	return raw
}

// post performs an action on a session.
func post(t *testing.T, cp *anyframetest.Server, id, act string, body any, status int) map[string]any {
	t.Helper()
	return call(t, cp, "POST", "/api/sessions/"+id+"/"+act, body, status)
}

// create creates a session of the first agent and returns its id.
func create(t *testing.T, cp *anyframetest.Server) string {
	t.Helper()
	made := call(t, cp, "POST", "/api/sessions", map[string]any{"agent_id": cp.AgentID()}, 202)
	id, is := made["id"].(string)
	if !is {
		t.Fatalf("got session %v, want one with an id", made)
	}
	return id
}

// running creates a session and waits until it is running.
func running(t *testing.T, cp *anyframetest.Server) string {
	t.Helper()
	id := create(t, cp)
	waitUntilRunning(t, cp, id)
	return id
}

func waitUntilRunning(t *testing.T, cp *anyframetest.Server, id string) {
	t.Helper()
	cp.WaitFor(t, func() bool {
		info, _ := cp.Session(id)
		return info.Status == "running"
	})
}

func wantStatus(t *testing.T, cp *anyframetest.Server, id, want string) {
	t.Helper()
	if got := call(t, cp, "GET", "/api/sessions/"+id, nil, 200)["status"]; got != want {
		t.Errorf("got status %v, want %s", got, want)
	}
}

// say sends a message and waits until its turn is over.
func say(t *testing.T, cp *anyframetest.Server, id, text string) {
	t.Helper()
	post(t, cp, id, "message", map[string]any{"prompt": text}, 200)
	waitForIdleOrPrompt(t, cp, id)
}

// A frame is one frame of an event stream, or a comment.
type frame struct {
	id      string
	data    string
	comment string
}

func (f frame) seq() int64 {
	n, _ := strconv.ParseInt(f.id, 10, 64)
	return n
}

// A listener reads an event stream.
type listener struct {
	t     *testing.T
	res   *http.Response
	lines *bufio.Reader
	bytes int
}

// listen opens an event stream. It is closed when the test ends.
func listen(t *testing.T, cp *anyframetest.Server, id, lastEventID string) *listener {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), "GET", cp.URL()+"/api/sessions/"+id+"/events", http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+cp.Key())
	r.Header.Set("Accept", "text/event-stream")
	if lastEventID != "" {
		r.Header.Set("Last-Event-ID", lastEventID)
	}
	res, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		t.Fatalf("open the stream: %v", err)
	}
	t.Cleanup(func() { _ = res.Body.Close() })
	if res.StatusCode != 200 {
		t.Fatalf("open the stream: got %d, want 200", res.StatusCode)
	}
	return &listener{t: t, res: res, lines: bufio.NewReader(res.Body)}
}

// next reads one frame or comment. The error is the body's; a frame that was cut
// off is returned with it.
func (l *listener) next() (f frame, err error) {
	for {
		line, err := l.lines.ReadString('\n')
		l.bytes += len(line)
		if err != nil {
			return f, err
		}
		line = strings.TrimSuffix(line, "\n")
		name, value, _ := strings.Cut(line, ": ")
		switch {
		case line == "":
			return f, nil
		case name == "id":
			f.id = value
		case name == "data":
			f.data = value
		case strings.HasPrefix(line, ":"):
			f.comment = line
		default:
			l.t.Fatalf("got line %q, want id, data or a comment", line)
		}
	}
}

// take reads n frames.
func (l *listener) take(n int) []frame {
	l.t.Helper()
	var frames []frame
	for range n {
		f, err := l.next()
		if err != nil {
			l.t.Fatalf("after %d frames: got %v, want %d frames", len(frames), err, n)
		}
		frames = append(frames, f)
	}
	return frames
}

// rest reads until the stream ends and returns how it ended.
func (l *listener) rest() (frames []frame, err error) {
	for {
		f, err := l.next()
		if err != nil {
			return frames, err
		}
		frames = append(frames, f)
	}
}

// wantEnd requires the stream to end normally.
func (l *listener) wantEnd() []frame {
	l.t.Helper()
	frames, err := l.rest()
	if !errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		l.t.Errorf("got end %v, want %v", err, io.EOF)
	}
	return frames
}

// wantCut requires the stream to be cut off.
func (l *listener) wantCut() []frame {
	l.t.Helper()
	frames, err := l.rest()
	if errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		l.t.Errorf("got a clean end, want a cut")
	}
	return frames
}

func seqs(frames []frame) []int64 {
	var out []int64
	for _, f := range frames {
		out = append(out, f.seq())
	}
	return out
}

// kind returns the type of a payload, with a mark for deltas.
func kind(t *testing.T, payload string) string {
	t.Helper()
	var p struct {
		Type  string `json:"type"`
		Delta bool   `json:"delta"`
	}
	if err := json.Unmarshal([]byte(payload), &p); err != nil {
		t.Fatalf("got payload %s, want JSON: %v", payload, err)
	}
	if p.Delta {
		return p.Type + "+"
	}
	return p.Type
}

func kinds(t *testing.T, payloads []string) string {
	t.Helper()
	var out []string
	for _, p := range payloads {
		out = append(out, kind(t, p))
	}
	return strings.Join(out, " ")
}

// text returns the text of an assistant payload.
func text(t *testing.T, payload string) string {
	t.Helper()
	var p struct {
		Message struct {
			Content []struct {
				Text string `json:"text"`
			} `json:"content"`
		} `json:"message"`
	}
	if err := json.Unmarshal([]byte(payload), &p); err != nil || len(p.Message.Content) == 0 {
		t.Fatalf("got payload %s, want an assistant's", payload)
	}
	return p.Message.Content[0].Text
}

// list gets a list of objects.
func list(t *testing.T, cp *anyframetest.Server, path string) []map[string]any {
	t.Helper()
	raw := callRaw(t, cp, "GET", path, nil, 200)
	var v []map[string]any
	if err := json.Unmarshal(raw, &v); err != nil || v == nil {
		t.Fatalf("GET %s: got body %s, want a list of objects", path, raw)
	}
	return v
}

// wantFields requires an object to have exactly these members.
func wantFields(t *testing.T, v map[string]any, fields string) {
	t.Helper()
	want := strings.Fields(fields)
	slices.Sort(want)
	if got := slices.Sorted(maps.Keys(v)); !slices.Equal(got, want) {
		t.Errorf("got members %v, want %v", got, want)
	}
}

// want requires an object to have these values, compared as JSON.
func want(t *testing.T, v, values map[string]any) {
	t.Helper()
	for name, value := range values {
		got, err := json.Marshal(v[name])
		if err != nil {
			t.Fatal(err)
		}
		want, err := json.Marshal(value)
		if err != nil {
			t.Fatal(err)
		}
		if string(got) != string(want) {
			t.Errorf("got %s %s, want %s", name, got, want)
		}
	}
}

// path joins ids, as numbers in JSON, and words into a path of the API.
func path(parts ...any) string {
	var b strings.Builder
	b.WriteString("/api")
	for _, part := range parts {
		fmt.Fprintf(&b, "/%v", part)
	}
	return b.String()
}

// A refused is a request that is refused, and the expected response.
type refused struct {
	name, method, path string
	body               any
	status             int
	locs               string // of the issues of a 422, with ; in between
}

func wantRefused(t *testing.T, cp *anyframetest.Server, cases []refused) {
	t.Helper()
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			body := call(t, cp, c.method, c.path, c.body, c.status)
			if c.status != 422 {
				if detail, is := body["detail"].(string); !is || detail == "" {
					t.Errorf("got %v, want a text in detail", body)
				}
				return
			}
			if got := locsOf(t, body); got != c.locs {
				t.Errorf("got issues with %q, want with %q", got, c.locs)
			}
		})
	}
}

// locsOf returns the locations of a 422's issues.
func locsOf(t *testing.T, body map[string]any) string {
	t.Helper()
	issues, _ := body["detail"].([]any)
	var locs []string
	for i := range issues {
		locs = append(locs, locOf(t, map[string]any{"detail": issues[i:]}))
	}
	return strings.Join(locs, "; ")
}
