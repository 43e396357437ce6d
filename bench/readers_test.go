package bench

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"net/http"
	"strings"
	"unsafe"

	r3labs "github.com/r3labs/sse/v2"
	gosse "github.com/tmaxmax/go-sse"

	"github.com/anyframe-relay/relay/anyframe"
)

const (
	sessionID = "00000000-0000-4000-8000-000000000000"
	maxEvent  = 1 << 20 // larger than any event here, so that no reader fails
)

// An event is one event from a reader. The data are valid until the next one.
type event struct {
	id   string
	data []byte
}

// A reader reads a stream to its end.
type reader struct {
	name string
	less string // work that it does not do and the others do; "" for nothing
	read func(stream []byte) iter.Seq2[event, error]
}

// readers begins with package anyframe's.
var readers = []reader{
	{name: "anyframe", read: readAnyframe},
	{name: "go-sse-read", read: readGoSSE, less: "no HTTP"},
	{name: "go-sse-client", read: connectGoSSE},
	{name: "r3labs-reader", read: readR3labs, less: "no HTTP, frames not parsed"},
	{name: "r3labs-client", read: subscribeR3labs},
}

// A body is an HTTP response whose body is in memory.
type body []byte

func (b body) RoundTrip(r *http.Request) (*http.Response, error) {
	return &http.Response{
		StatusCode: http.StatusOK, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: http.Header{"Content-Type": {"text/event-stream"}},
		Body:   io.NopCloser(bytes.NewReader(b)), ContentLength: -1, Request: r,
	}, nil
}

// readAnyframe runs the complete code of a session's stream: the request, the check
// of the response, the idle timeout, and the decoder.
func readAnyframe(stream []byte) iter.Seq2[event, error] {
	return func(yield func(event, error) bool) {
		client, err := anyframe.New(
			anyframe.WithAPIKey("afm_bench"), anyframe.WithBaseURL("http://127.0.0.1"), anyframe.WithDotEnv(""),
			anyframe.WithHTTPClient(&http.Client{Transport: body(stream)}),
		)
		if err != nil {
			yield(event{}, err)
			return
		}
		for e, err := range client.Sessions.Events(context.Background(), sessionID, anyframe.StreamOptions{MaxEventSize: maxEvent}) {
			if !yield(event{e.ID, e.Data}, err) {
				return
			}
		}
	}
}

// readGoSSE runs only go-sse's decoder.
func readGoSSE(stream []byte) iter.Seq2[event, error] {
	return func(yield func(event, error) bool) {
		for e, err := range gosse.Read(bytes.NewReader(stream), &gosse.ReadConfig{MaxEventSize: maxEvent}) {
			if !yield(event{e.LastEventID, asBytes(e.Data)}, err) {
				return
			}
		}
	}
}

// connectGoSSE runs go-sse's client, without reconnects.
func connectGoSSE(stream []byte) iter.Seq2[event, error] {
	return func(yield func(event, error) bool) {
		r, err := http.NewRequestWithContext(context.Background(), http.MethodGet, "http://127.0.0.1/", http.NoBody)
		if err != nil {
			yield(event{}, err)
			return
		}
		client := &gosse.Client{HTTPClient: &http.Client{Transport: body(stream)}, Backoff: gosse.Backoff{MaxRetries: -1}}
		conn := client.NewConnection(r)
		conn.Buffer(nil, maxEvent)
		conn.SubscribeToAll(func(e gosse.Event) { yield(event{e.LastEventID, asBytes(e.Data)}, nil) })
		if err := conn.Connect(); err != nil && !errors.Is(err, io.EOF) {
			yield(event{}, err)
		}
	}
}

// readR3labs runs only r3labs' reader, which splits the stream into frames and does
// not parse them.
func readR3labs(stream []byte) iter.Seq2[event, error] {
	return func(yield func(event, error) bool) {
		r := r3labs.NewEventStreamReader(bytes.NewReader(stream), maxEvent)
		for {
			frame, err := r.ReadEvent()
			if errors.Is(err, io.EOF) {
				return
			}
			if !yield(event{data: frame}, err) {
				return
			}
		}
	}
}

// subscribeR3labs runs r3labs' client.
func subscribeR3labs(stream []byte) iter.Seq2[event, error] {
	return func(yield func(event, error) bool) {
		client := r3labs.NewClient("http://127.0.0.1/", r3labs.ClientMaxBufferSize(maxEvent))
		client.Connection = &http.Client{Transport: body(stream)}
		err := client.SubscribeRaw(func(e *r3labs.Event) { yield(event{string(e.ID), e.Data}, nil) })
		if err != nil {
			yield(event{}, err)
		}
	}
}

// streamOf returns n events with data of a given size, and their content.
func streamOf(n, size int) (stream []byte, events []event) {
	var b bytes.Buffer
	for i := range n {
		const around = `{"type":"assistant","delta":true,"text":""}`
		text := strings.Repeat("0123456789", size/10+1)[:size-len(around)]
		e := event{fmt.Sprint(i + 1), []byte(strings.Replace(around, `""`, `"`+text+`"`, 1))}
		fmt.Fprintf(&b, "id: %s\ndata: %s\n\n", e.id, e.data)
		events = append(events, e)
	}
	return b.Bytes(), events
}

// asBytes views a string as bytes, so that no reader is charged for a copy that
// only this comparison needs.
func asBytes(s string) []byte { return unsafe.Slice(unsafe.StringData(s), len(s)) }
