package relay_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/anyframe-relay/relay/anyframe"
	"github.com/anyframe-relay/relay/anyframe/anyframetest"
	"github.com/anyframe-relay/relay/relay"
)

// metric returns the sum of the series with these labels, which come in pairs; for a
// histogram, the number of observations.
func (r *harness) metric(name string, labels ...string) (sum float64) {
	r.t.Helper()
	families, err := r.reg.Gather()
	if err != nil {
		r.t.Fatal(err)
	}
	found := false
	for _, f := range families {
		if f.GetName() != name {
			continue
		}
		for _, m := range f.GetMetric() {
			carried := map[string]string{}
			for _, l := range m.GetLabel() {
				carried[l.GetName()] = l.GetValue()
			}
			fits := true
			for pair := range slices.Chunk(labels, 2) {
				fits = fits && carried[pair[0]] == pair[1]
			}
			if fits {
				found = true
				sum += m.GetCounter().GetValue() + m.GetGauge().GetValue() + float64(m.GetHistogram().GetSampleCount())
			}
		}
	}
	if !found {
		r.t.Errorf("%s%q: there is no such series", name, labels)
	}
	return sum
}

// counts fails the test unless the metrics have these values.
func (r *harness) counts(want map[string]float64) {
	r.t.Helper()
	for series, value := range want {
		fields := strings.Fields(series)
		for i := range fields {
			fields[i] = strings.ReplaceAll(fields[i], "=", " ")
		}
		if got := r.metric(fields[0], fields[1:]...); got != value {
			r.t.Errorf("%s: got %v, want %v", series, got, value)
		}
	}
}

func TestMetrics_Conversation_Counted(t *testing.T) {
	t.Parallel()
	r := newHarness(t, func(c *relay.Config) { c.ReplayEvents = 6 }, anyframetest.WithAgent(1, talk))
	r.counts(map[string]float64{ // exported before anything happens
		"relay_turns_total result accepted": 0, "relay_streams_ended_total reason slow": 0, "relay_resumes_total from reset": 0,
		"relay_session_wakes_total kind new": 0, "relay_upstream_breaker_open": 0, "relay_upstream_key_refused": 0,
	})
	v := r.visitor()
	x, want := conversation(r, v)
	v.say("hello", "k1") // again
	if a := v.do("POST", "/v1/messages", `{"text":""}`, "Idempotency-Key", "k3"); a.code() != "empty_message" {
		t.Fatalf("an empty message: got %d %s", a.status, a.body)
	}
	r.counts(map[string]float64{
		"relay_turns_total result accepted": 2, "relay_turns_total result repeated": 1,
		"relay_turn_accept_seconds": 2, "relay_turn_first_event_seconds": 2, "relay_turn_seconds": 2,
		"relay_session_wakes_total kind new result ok": 1, "relay_session_wake_seconds kind new": 1,
		"relay_sessions_live": 1, "relay_sessions_awake": 1, "relay_streams_open": 1, "relay_upstream_streams": 1,
		"relay_refusals_total code empty_message":                 1,
		"relay_requests_total route POST=/v1/messages status 202": 3,
		"relay_upstream_requests_total op message":                2,
		"relay_upstream_requests_total op create":                 1,
		"relay_upstream_request_seconds op message":               2,
		"relay_upstream_request_seconds op create":                1,
		"relay_streams_limit":                                     float64(r.conf.MaxStreams),
		"relay_pump_lag_seconds":                                  float64(len(r.plane.Log(r.upstream()))),
	})
	for _, series := range []string{"relay_replay_bytes", "relay_events_sent_total", "relay_event_bytes_sent_total"} {
		if got := r.metric(series); got <= 0 {
			t.Errorf("%s: got %v, want more than nothing", series, got)
		}
	}
	if got := r.metric("relay_store_seconds", "op", "save_note"); got < 2 {
		t.Errorf("relay_store_seconds of save_note: got %v, want every turn's", got)
	}

	x.close()
	for _, id := range []string{want[len(want)-1].id, want[0].id, "9-9"} {
		v.open(id).until("the session", func(es []event) bool { return len(es) > 1 || id == want[len(want)-1].id && len(es) > 0 })
	}
	eventually(t, "the streams are counted", func() bool {
		return r.metric("relay_resumes_total") == 3 && r.metric("relay_streams_ended_total", "reason", "gone") == 1
	})
	r.counts(map[string]float64{
		"relay_resumes_total from memory": 1, "relay_resumes_total from upstream": 1, "relay_resumes_total from reset": 1,
		"relay_streams_open": 3,
	})
	if a := v.do("DELETE", "/v1/visitor", ""); a.status != http.StatusNoContent {
		t.Fatalf("DELETE /v1/visitor: got %d %s", a.status, a.body)
	}
	eventually(t, "the streams of a visitor who left have ended", func() bool {
		return r.metric("relay_streams_ended_total", "reason", "voided") == 3 && r.metric("relay_streams_open") == 0
	})
}

func TestMetrics_UpstreamFailures_CountedByCause(t *testing.T) {
	t.Parallel()
	r := newHarness(t, nil)
	v := r.visitor()
	r.plane.Inject(
		anyframetest.Fault{Kind: anyframetest.Respond, Status: http.StatusUnauthorized, Op: anyframetest.OpCreate},
		anyframetest.Fault{Kind: anyframetest.Respond, Status: http.StatusUnauthorized, Op: anyframetest.OpMe},
	)
	if a := v.do("POST", "/v1/messages", `{"text":"hello"}`); a.code() != "upstream_unavailable" {
		t.Fatalf("with a refused key: got %d %s", a.status, a.body)
	}
	r.counts(map[string]float64{
		"relay_upstream_key_refused": 1, "relay_turns_total result upstream_unavailable": 1,
		"relay_upstream_requests_total op create status 401": 1, "relay_session_wakes_total result upstream_unavailable kind new": 1,
	})
	r.plane.ClearFaults()
	r.plane.Inject(anyframetest.Fault{Kind: anyframetest.Respond, Status: http.StatusInternalServerError})
	broken := newHarnessOn(t, r.plane)
	w := broken.visitor()
	eventually(t, "the breaker opens", func() bool {
		w.do("POST", "/v1/messages", `{"text":"hello"}`)
		return broken.metric("relay_upstream_breaker_open") == 1
	})
}

func TestMetrics_UpstreamReconnects_CountedByCause(t *testing.T) {
	t.Parallel()
	r := newHarness(t, nil)
	v := r.visitor()
	x := v.open("")
	v.say("hello", "k1")
	x.turnEnds(1)
	r.plane.Inject(anyframetest.Fault{Kind: anyframetest.EndAfterEvents, N: 0, Op: anyframetest.OpEvents, Times: 1})
	r.plane.CutStreams()
	eventually(t, "it is open again", func() bool { return r.metric("relay_upstream_stream_reconnects_total") == 2 })
	r.counts(map[string]float64{"relay_upstream_stream_reconnects_total cause broken": 1, "relay_upstream_stream_reconnects_total cause ended": 1})
	for want, err := range map[string]error{
		"silent": fmt.Errorf("read: %w", anyframe.ErrStreamStalled), "broken": fmt.Errorf("connect: %w", io.EOF),
	} {
		if got := relay.Broke(err); got != want {
			t.Errorf("%v: got %s, want %s", err, got, want)
		}
	}
}

// newHarnessOn starts another relay on the same control plane.
func newHarnessOn(t *testing.T, plane *anyframetest.Server) *harness {
	t.Helper()
	return harnessFor(t, plane, nil)
}

func TestMetrics_StoreFailures_CountedWithoutAnswers(t *testing.T) {
	t.Parallel()
	r := newHarness(t, sqliteFile(t))
	v := r.visitor()
	v.say("hello", "k1") // looks for notes and records that do not exist
	if a := v.do("GET", "/readyz", ""); a.status != http.StatusOK {
		t.Errorf("readyz: got %d %s", a.status, a.body)
	}
	families, err := r.reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == "relay_store_errors_total" {
			t.Errorf("got %v, want no failure", f)
		}
	}
	if err := r.srv.Close(); err != nil { // a store that is gone
		t.Fatal(err)
	}
	v.do("GET", "/v1/session", "")
	if got := r.metric("relay_store_errors_total", "op", "find_token"); got != 1 {
		t.Errorf("relay_store_errors_total of find_token: got %v, want 1", got)
	}
}

func TestMetrics_StreamEnds_CountedByReason(t *testing.T) {
	t.Parallel()
	r := newHarness(t, func(c *relay.Config) { c.StreamLifetime = time.Second })
	v := r.visitor()
	v.open("")
	eventually(t, "its time is over", func() bool { return r.metric("relay_streams_ended_total") == 1 })
	r.counts(map[string]float64{"relay_streams_ended_total reason lifetime": 1})
	long := newHarness(t, nil)
	v = long.visitor()
	v.open("").status("none")
	long.srv.Drain(t.Context())
	eventually(t, "it was sent elsewhere", func() bool { return long.metric("relay_streams_ended_total") == 1 })
	long.counts(map[string]float64{"relay_streams_ended_total reason drained": 1})
}

func TestMetrics_ReaderTakesNothing_CountedAsSlow(t *testing.T) {
	t.Parallel()
	r := newHarness(t, nil, anyframetest.WithWordsPerDelta(1000), anyframetest.WithAgent(1, func(c *anyframetest.Chat) {
		c.Say(strings.Repeat("more than these sockets hold ", 10_000))
	}))
	r.sendBuffer.Store(4 << 10)
	v := r.visitor()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, r.web.URL+"/v1/events", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+v.token)
	// A socket with small buffers, because the system's default differs between machines.
	small := func(ctx context.Context, network, addr string) (net.Conn, error) {
		c, err := new(net.Dialer).DialContext(ctx, network, addr)
		if err == nil {
			err = c.(*net.TCPConn).SetReadBuffer(32 << 10) //nolint:forcetypeassert // the harness listens on TCP
		}
		return c, err
	}
	res, err := (&http.Transport{DisableKeepAlives: true, DialContext: small}).RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	v.say("go", "k1")
	eventually(t, "the stream ended", func() bool { return r.metric("relay_streams_open") == 0 })
	r.counts(map[string]float64{"relay_streams_ended_total reason slow": 1, "relay_streams_ended_total reason gone": 0})
}

// metric returns the value of a counter or gauge; all its labels come in pairs.
func metric(t *testing.T, reg prometheus.Gatherer, name string, labels ...string) (sum float64) {
	t.Helper()
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() != name {
			continue
		}
		for _, m := range f.GetMetric() {
			has := map[string]string{}
			for _, l := range m.GetLabel() {
				has[l.GetName()] = l.GetValue()
			}
			fits := true
			for pair := range slices.Chunk(labels, 2) {
				fits = fits && has[pair[0]] == pair[1]
			}
			if fits {
				sum += m.GetCounter().GetValue() + m.GetGauge().GetValue() + float64(m.GetHistogram().GetSampleCount())
			}
		}
	}
	return sum
}
