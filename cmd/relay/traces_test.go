package main

import (
	"bytes"
	"encoding/hex"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"syscall"
	"testing"

	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	trace "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"

	"github.com/anyframe-relay/relay/anyframe/anyframetest"
)

// receiver is an OTLP collector that stores the spans it receives.
type receiver struct {
	*httptest.Server
	mu       sync.Mutex
	raw      bytes.Buffer
	spans    []*trace.Span
	services []string
}

func collect(t *testing.T) *receiver {
	t.Helper()
	c := &receiver{}
	c.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		var got collector.ExportTraceServiceRequest
		if err != nil || r.URL.Path != "/v1/traces" || proto.Unmarshal(body, &got) != nil {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		c.mu.Lock()
		defer c.mu.Unlock()
		c.raw.Write(body)
		for _, rs := range got.GetResourceSpans() {
			for _, a := range rs.GetResource().GetAttributes() {
				if a.GetKey() == "service.name" {
					c.services = append(c.services, a.GetValue().GetStringValue())
				}
			}
			for _, ss := range rs.GetScopeSpans() {
				c.spans = append(c.spans, ss.GetSpans()...)
			}
		}
	}))
	t.Cleanup(c.Close)
	return c
}

// named returns the spans with this name.
func (c *receiver) named(name string) (found []*trace.Span) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, s := range c.spans {
		if s.GetName() == name {
			found = append(found, s)
		}
	}
	return found
}

func TestTraces_Turn_SpansFromRequestToFirstEvent(t *testing.T) {
	t.Parallel()
	c := collect(t)
	plane := anyframetest.Start(t)
	relay := launch(t, "serve", append(upstream(plane), "RELAY_STORE=memory:", "OTEL_EXPORTER_OTLP_ENDPOINT="+c.URL, "OTEL_SERVICE_NAME=chat")...)
	token := mint(t, relay.url)
	body := stream(t.Context(), t, relay.url, token, "")
	defer body.Close()
	if r := ask(t, "POST", relay.url+"/v1/messages", token, `{"text":"a secret matter"}`, "traceparent", "00-11111111111111111111111111111111-2222222222222222-01"); r.code != http.StatusAccepted {
		t.Fatalf("POST /v1/messages: got %d %s, %v, want 202", r.code, r.body, r.err)
	}
	var pg page
	pg.listen(t, relay.url, token, func() bool { return pg.has("turn_end") })
	relay.signal(syscall.SIGTERM)
	if code := relay.exit(); code != exitOK { // sends the remaining spans
		t.Fatalf("exit code: got %d; %s", code, relay.output())
	}

	turns, answers := c.named("turn"), c.named("answer")
	if len(turns) != 1 || len(answers) != 1 {
		t.Fatalf("got %d spans of the turn and %d of its answer, want one of each", len(turns), len(answers))
	}
	turn, answer := turns[0], answers[0]
	if len(turn.GetParentSpanId()) != 0 || strings.HasPrefix(hex.EncodeToString(turn.GetTraceId()), "1111") {
		t.Errorf("got the turn under %x in trace %x, want a trace of its own, whatever the browser says", turn.GetParentSpanId(), turn.GetTraceId())
	}
	for _, name := range []string{"answer", "wait for the sandbox", "anyframe message"} {
		for _, s := range c.named(name) {
			if !bytes.Equal(s.GetTraceId(), turn.GetTraceId()) || len(s.GetParentSpanId()) == 0 {
				t.Errorf("%s: got trace %x under %x, want it in the turn's, %x", name, s.GetTraceId(), s.GetParentSpanId(), turn.GetTraceId())
			}
		}
		if len(c.named(name)) != 1 {
			t.Errorf("got %d spans %q, want one", len(c.named(name)), name)
		}
	}
	how := ""
	for _, a := range answer.GetAttributes() {
		if a.GetKey() == "relay.answer" {
			how = a.GetValue().GetStringValue()
		}
	}
	events := answer.GetEvents()
	if how != "sent" || len(events) != 1 || events[0].GetTimeUnixNano() > answer.GetEndTimeUnixNano() {
		t.Errorf("the answer: got %q with events %v, want it sent, after it was ready", how, events)
	}
	if !strings.Contains(relay.output(), `"trace":"`+hex.EncodeToString(turn.GetTraceId())+`"`) {
		t.Errorf("the log does not name the trace: %s", relay.output())
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, secret := range []string{"a secret matter", plane.Key(), plane.Sessions()[0].ID, token} {
		if bytes.Contains(c.raw.Bytes(), []byte(secret)) {
			t.Errorf("the traces tell %q", secret)
		}
	}
	for _, s := range c.services {
		if s != "chat" {
			t.Errorf("service.name: got %q, want what OTEL_SERVICE_NAME says", s)
		}
	}
}

func TestTraces_Default_Off(t *testing.T) {
	t.Parallel()
	c := collect(t)
	for _, env := range [][]string{
		nil,
		{"OTEL_EXPORTER_OTLP_ENDPOINT=" + c.URL, "OTEL_SDK_DISABLED=true"},
		{"OTEL_EXPORTER_OTLP_ENDPOINT=" + c.URL, "OTEL_TRACES_EXPORTER=none"},
		{"OTEL_EXPORTER_OTLP_ENDPOINT=" + c.URL, "OTEL_TRACES_SAMPLER=always_off"},
	} {
		plane := anyframetest.Start(t)
		relay := launch(t, "serve", append(append(upstream(plane), "RELAY_STORE=memory:"), env...)...)
		token := mint(t, relay.url)
		if code, out := call(t, "POST", relay.url+"/v1/messages", token, `{"text":"hello"}`); code != http.StatusAccepted {
			t.Fatalf("POST /v1/messages: got %d %v, want 202", code, out)
		}
		relay.signal(syscall.SIGTERM)
		if code := relay.exit(); code != exitOK || strings.Contains(relay.output(), `"trace"`) {
			t.Errorf("%v: got exit %d and %s, want no trace", env, code, relay.output())
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.spans) != 0 {
		t.Errorf("got %d spans, want none", len(c.spans))
	}
}

func TestTraces_CollectorGone_NothingBlocked(t *testing.T) {
	t.Parallel()
	gone := httptest.NewServer(nil)
	gone.Close()
	plane := anyframetest.Start(t)
	relay := launch(t, "serve", append(upstream(plane), "RELAY_STORE=memory:", "OTEL_EXPORTER_OTLP_ENDPOINT="+gone.URL)...)
	token := mint(t, relay.url)
	if code, out := call(t, "POST", relay.url+"/v1/messages", token, `{"text":"hello"}`); code != http.StatusAccepted {
		t.Fatalf("POST /v1/messages: got %d %v, want 202", code, out)
	}
	relay.signal(syscall.SIGTERM)
	if code := relay.exit(); code != exitOK || !strings.Contains(relay.output(), `"failed to export traces"`) {
		t.Errorf("got exit %d, want 0 and the loss told: %s", code, relay.output())
	}
}

func TestTraces_UnknownProtocol_OneLineError(t *testing.T) {
	t.Parallel()
	env := []string{"ANYFRAME_API_KEY=afm_x1234", "ANYFRAME_AGENT_ID=1", "RELAY_STORE=memory:", "OTEL_EXPORTER_OTLP_ENDPOINT=http://127.0.0.1:4317", "OTEL_EXPORTER_OTLP_PROTOCOL=grpc"}
	code, _, stderr := execute(t, env, "serve")
	if code != exitError || strings.Count(stderr, "\n") != 1 || !strings.Contains(stderr, "http/protobuf") {
		t.Errorf("got exit %d and %q, want 1 and one line that says what is spoken", code, stderr)
	}
}
