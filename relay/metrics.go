package relay

import (
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics are the collectors. Labels come from closed sets only.
type metrics struct {
	streamsOpen    prometheus.Gauge
	streamsEnded   *prometheus.CounterVec // reason
	resumes        *prometheus.CounterVec // from
	eventsSent     prometheus.Counter
	bytesSent      prometheus.Counter
	turns          *prometheus.CounterVec // result
	firstEvent     prometheus.Histogram
	turnSeconds    prometheus.Histogram
	sessionsLive   prometheus.Gauge
	sessionsAwake  prometheus.Gauge
	boots          *prometheus.CounterVec // result
	bootSeconds    prometheus.Histogram
	refusals       *prometheus.CounterVec // code
	requests       *prometheus.CounterVec // route, code
	upstreamCalls  *prometheus.CounterVec // op, status
	upstreamTime   *prometheus.HistogramVec
	upstreamReopen prometheus.Counter
	holesFilled    prometheus.Counter
	breakerOpen    prometheus.Gauge
}

// newMetrics registers the collectors with reg, which the caller owns.
func newMetrics(reg prometheus.Registerer) *metrics {
	seconds := []float64{.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60, 180}
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
	histogram := func(name, help string) prometheus.Histogram {
		h := prometheus.NewHistogram(prometheus.HistogramOpts{Name: name, Help: help, Buckets: seconds})
		reg.MustRegister(h)
		return h
	}
	m := &metrics{
		streamsOpen:    gauge("relay_streams_open", "Event streams open now."),
		streamsEnded:   counters("relay_streams_ended_total", "Event streams ended, by reason.", "reason"),
		resumes:        counters("relay_resumes_total", "Where the events that a new stream asked for came from.", "from"),
		eventsSent:     counter("relay_events_sent_total", "Events written to event streams."),
		bytesSent:      counter("relay_event_bytes_sent_total", "Bytes of events written to event streams."),
		turns:          counters("relay_turns_total", "Turns posted, by result: accepted, repeated or the problem's code.", "result"),
		firstEvent:     histogram("relay_turn_first_event_seconds", "From accepting a turn to the agent's first event."),
		turnSeconds:    histogram("relay_turn_seconds", "From accepting a turn to its end."),
		sessionsLive:   gauge("relay_sessions_live", "Sessions held in memory."),
		sessionsAwake:  gauge("relay_sessions_awake", "Sandboxes that this relay believes awake."),
		boots:          counters("relay_session_wakes_total", "Times a sandbox was made sure to run, by result.", "result"),
		bootSeconds:    histogram("relay_session_wake_seconds", "Time until the sandbox ran."),
		refusals:       counters("relay_refusals_total", "Requests refused, by the problem's code.", "code"),
		requests:       counters("relay_requests_total", "Requests answered, by route and status.", "route", "status"),
		upstreamCalls:  counters("relay_upstream_requests_total", "Requests to AnyFrame, by operation and status.", "op", "status"),
		upstreamReopen: counter("relay_upstream_stream_reconnects_total", "Times an AnyFrame stream broke and was opened again."),
		holesFilled:    counter("relay_upstream_events_filled_total", "Events that AnyFrame's stream left out and its transcript had."),
		breakerOpen:    gauge("relay_upstream_breaker_open", "1 while the circuit breaker keeps requests from AnyFrame."),
	}
	m.upstreamTime = prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name: "relay_upstream_request_seconds", Help: "Time until AnyFrame answered, by operation.", Buckets: seconds,
	}, []string{"op"})
	reg.MustRegister(m.upstreamTime)
	return m
}

func (m *metrics) upstream(op, status string, took time.Duration) {
	m.upstreamCalls.WithLabelValues(op, status).Inc()
	m.upstreamTime.WithLabelValues(op).Observe(took.Seconds())
}

func (m *metrics) request(route string, status int) {
	m.requests.WithLabelValues(route, strconv.Itoa(status)).Inc()
}
