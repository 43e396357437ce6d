package telemetry

import (
	"context"
	"errors"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/anyframe-relay/relay/relay/internal/store"
)

// Metrics are the collectors. Labels come from closed sets only.
type Metrics struct {
	StreamsOpen    prometheus.Gauge
	StreamsLimit   prometheus.Gauge
	AwakeLimit     prometheus.Gauge
	StreamsEnded   *prometheus.CounterVec // reason
	Resumes        *prometheus.CounterVec // from
	EventsSent     prometheus.Counter
	BytesSent      prometheus.Counter
	Turns          *prometheus.CounterVec // result
	AcceptSeconds  prometheus.Histogram
	FirstEvent     prometheus.Histogram
	TurnSeconds    prometheus.Histogram
	SessionsLive   prometheus.Gauge
	Slept          prometheus.Counter
	Boots          *prometheus.CounterVec   // kind, result
	BootSeconds    *prometheus.HistogramVec // kind
	Capacity       *prometheus.CounterVec   // cause
	Refusals       *prometheus.CounterVec   // code
	Panics         prometheus.Counter
	requests       *prometheus.CounterVec   // route, status
	upstreamCalls  *prometheus.CounterVec   // op, status
	upstreamTime   *prometheus.HistogramVec // op
	UpstreamOpen   prometheus.Gauge
	PumpLag        prometheus.Histogram
	UpstreamReopen *prometheus.CounterVec // cause
	HolesFilled    prometheus.Counter
	BreakerOpen    prometheus.Gauge
	KeyRefused     prometheus.Gauge
	storeTime      *prometheus.HistogramVec // op
	storeErrors    *prometheus.CounterVec   // op
}

// The labels that are not from a table elsewhere. Every one is there from the
// start, at zero: what appears with its first increment has no rate before it.
const (
	EndGone     = "gone"     // the browser left, or its connection broke
	EndSlow     = "slow"     // a write took longer than writeTimeout
	EndLifetime = "lifetime" // RELAY_STREAM_LIFETIME was over
	EndDrained  = "drained"  // the relay ends
	EndVoided   = "voided"   // the visitor was forgotten

	FromMemory   = "memory"   // the log had what was asked for
	FromUpstream = "upstream" // AnyFrame's transcript had
	FromReset    = "reset"    // nobody had: the browser began anew

	BrokeEnded  = "ended"  // AnyFrame ended it
	BrokeSilent = "silent" // not even a heartbeat came
	BrokeBroken = "broken" // all else

	BootNew    = "new"    // a sandbox was made
	BootResume = "resume" // the one there was ran, or was woken
	BootOK     = "ok"     // else the problem's code

	TurnAccepted = "accepted" // else the problem's code
	TurnRepeated = "repeated"
)

// NewMetrics registers the collectors with reg, which the caller owns.
func NewMetrics(reg prometheus.Registerer) *Metrics {
	seconds := []float64{.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60, 180}
	turns := []float64{.5, 1, 2.5, 5, 10, 30, 60, 180, 600, 1800, 3600} // agents work for minutes
	short := []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5}
	gauge := func(name, help string) prometheus.Gauge {
		g := prometheus.NewGauge(prometheus.GaugeOpts{Name: name, Help: help})
		reg.MustRegister(g)
		return g
	}
	counter := func(name, help string) prometheus.Counter {
		c := prometheus.NewCounter(prometheus.CounterOpts{Name: name, Help: help})
		reg.MustRegister(c)
		return c
	}
	counters := func(name, help string, labels ...string) *prometheus.CounterVec {
		c := prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels)
		reg.MustRegister(c)
		return c
	}
	histogram := func(name, help string, buckets []float64) prometheus.Histogram {
		h := prometheus.NewHistogram(prometheus.HistogramOpts{Name: name, Help: help, Buckets: buckets})
		reg.MustRegister(h)
		return h
	}
	histograms := func(name, help string, buckets []float64, label string) *prometheus.HistogramVec {
		h := prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: name, Help: help, Buckets: buckets}, []string{label})
		reg.MustRegister(h)
		return h
	}
	m := &Metrics{
		StreamsOpen:    gauge("relay_streams_open", "Event streams open now."),
		StreamsLimit:   gauge("relay_streams_limit", "How many event streams may be open, as RELAY_MAX_STREAMS says."),
		AwakeLimit:     gauge("relay_sessions_awake_limit", "How many sandboxes may be awake, as RELAY_MAX_SESSIONS says."),
		StreamsEnded:   counters("relay_streams_ended_total", "Event streams ended, by reason.", "reason"),
		Resumes:        counters("relay_resumes_total", "Where the events that a returning stream asked for came from.", "from"),
		EventsSent:     counter("relay_events_sent_total", "Events written to event streams."),
		BytesSent:      counter("relay_event_bytes_sent_total", "Bytes of events written to event streams."),
		Turns:          counters("relay_turns_total", "Turns posted, by result: accepted, repeated or the problem's code.", "result"),
		AcceptSeconds:  histogram("relay_turn_accept_seconds", "From a turn's request to its acceptance, a boot included.", seconds),
		FirstEvent:     histogram("relay_turn_first_event_seconds", "From accepting a turn to the agent's first event.", turns),
		TurnSeconds:    histogram("relay_turn_seconds", "From accepting a turn to its end.", turns),
		SessionsLive:   gauge("relay_sessions_live", "Sessions held in memory."),
		Slept:          counter("relay_sessions_put_to_sleep_total", "Sandboxes put to sleep to make room for others."),
		Boots:          counters("relay_session_wakes_total", "Times a sandbox was made sure to run, by kind (new, resume) and result.", "kind", "result"),
		BootSeconds:    histograms("relay_session_wake_seconds", "Time until the sandbox ran, by kind.", seconds, "kind"),
		Refusals:       counters("relay_refusals_total", "Requests refused, by the problem's code.", "code"),
		Panics:         counter("relay_panics_total", "Faults in the relay's own code that were caught."),
		Capacity:       counters("relay_capacity_refusals_total", "Refusals at_capacity, by what there is no more of: answers (transcripts being read), awake (sandboxes), bodies (memory for large ones), budget (new sessions of the day) or streams.", "cause"),
		requests:       counters("relay_requests_total", "Requests answered, by route and status.", "route", "status"),
		upstreamCalls:  counters("relay_upstream_requests_total", "Requests to AnyFrame, by operation and status.", "op", "status"),
		upstreamTime:   histograms("relay_upstream_request_seconds", "Time until AnyFrame answered, by operation.", seconds, "op"),
		UpstreamOpen:   gauge("relay_upstream_streams", "AnyFrame event streams that are followed now."),
		UpstreamReopen: counters("relay_upstream_stream_reconnects_total", "Times an AnyFrame stream broke and was opened again, by cause.", "cause"),
		PumpLag:        histogram("relay_pump_lag_seconds", "From reading an event of AnyFrame's to having it ready for every stream.", short),
		HolesFilled:    counter("relay_upstream_events_filled_total", "Events that AnyFrame's stream left out and its transcript had."),
		BreakerOpen:    gauge("relay_upstream_breaker_open", "1 while the circuit breaker keeps requests from AnyFrame."),
		KeyRefused:     gauge("relay_upstream_key_refused", "1 while AnyFrame refuses the key."),
		storeTime:      histograms("relay_store_seconds", "Time that the store took, by operation.", short, "op"),
		storeErrors:    counters("relay_store_errors_total", "Store operations that failed, by operation.", "op"),
	}
	for label, values := range map[*prometheus.CounterVec][]string{
		m.StreamsEnded:   {EndGone, EndSlow, EndLifetime, EndDrained, EndVoided},
		m.Resumes:        {FromMemory, FromUpstream, FromReset},
		m.Turns:          {TurnAccepted, TurnRepeated},
		m.UpstreamReopen: {BrokeEnded, BrokeSilent, BrokeBroken},
	} {
		for _, v := range values {
			label.WithLabelValues(v)
		}
	}
	for _, kind := range []string{BootNew, BootResume} {
		m.Boots.WithLabelValues(kind, BootOK)
	}
	return m
}

// Upstream counts a request to AnyFrame.
func (m *Metrics) Upstream(op, status string, took time.Duration) {
	m.upstreamCalls.WithLabelValues(op, status).Inc()
	m.upstreamTime.WithLabelValues(op).Observe(took.Seconds())
}

// Stored notes a call to the store. A row that is gone or that somebody else
// has changed is an answer, and a caller who left is no failure.
func (m *Metrics) Stored(op string, took time.Duration, err error) {
	m.storeTime.WithLabelValues(op).Observe(took.Seconds())
	for _, answer := range []error{store.ErrConflict, store.ErrNotFound, store.ErrExpired, context.Canceled} {
		if errors.Is(err, answer) {
			return
		}
	}
	if err != nil {
		m.storeErrors.WithLabelValues(op).Inc()
	}
}

// Request counts a request of a visitor's.
func (m *Metrics) Request(route string, status int) {
	m.requests.WithLabelValues(route, strconv.Itoa(status)).Inc()
}
