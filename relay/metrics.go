package relay

import (
	"context"
	"errors"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/anyframe-relay/relay/relay/store"
)

// metrics are the collectors. Labels come from closed sets only.
type metrics struct {
	streamsOpen    prometheus.Gauge
	streamsLimit   prometheus.Gauge
	awakeLimit     prometheus.Gauge
	streamsEnded   *prometheus.CounterVec // reason
	resumes        *prometheus.CounterVec // from
	eventsSent     prometheus.Counter
	bytesSent      prometheus.Counter
	turns          *prometheus.CounterVec // result
	acceptSeconds  prometheus.Histogram
	firstEvent     prometheus.Histogram
	turnSeconds    prometheus.Histogram
	sessionsLive   prometheus.Gauge
	slept          prometheus.Counter
	boots          *prometheus.CounterVec   // kind, result
	bootSeconds    *prometheus.HistogramVec // kind
	capacity       *prometheus.CounterVec   // cause
	refusals       *prometheus.CounterVec   // code
	panics         prometheus.Counter
	requests       *prometheus.CounterVec   // route, status
	upstreamCalls  *prometheus.CounterVec   // op, status
	upstreamTime   *prometheus.HistogramVec // op
	upstreamOpen   prometheus.Gauge
	pumpLag        prometheus.Histogram
	upstreamReopen *prometheus.CounterVec // cause
	holesFilled    prometheus.Counter
	breakerOpen    prometheus.Gauge
	keyRefused     prometheus.Gauge
	storeTime      *prometheus.HistogramVec // op
	storeErrors    *prometheus.CounterVec   // op
}

// The labels that are not from a table elsewhere. Every one is there from the
// start, at zero: what appears with its first increment has no rate before it.
const (
	endGone     = "gone"     // the browser left, or its connection broke
	endSlow     = "slow"     // a write took longer than writeTimeout
	endLifetime = "lifetime" // RELAY_STREAM_LIFETIME was over
	endDrained  = "drained"  // the relay ends
	endVoided   = "voided"   // the visitor was forgotten

	fromMemory   = "memory"   // the log had what was asked for
	fromUpstream = "upstream" // AnyFrame's transcript had
	fromReset    = "reset"    // nobody had: the browser began anew

	brokeEnded  = "ended"  // AnyFrame ended it
	brokeSilent = "silent" // not even a heartbeat came
	brokeBroken = "broken" // all else

	bootNew    = "new"    // a sandbox was made
	bootResume = "resume" // the one there was ran, or was woken
	bootOK     = "ok"     // else the problem's code

	turnAccepted = "accepted" // else the problem's code
	turnRepeated = "repeated"
)

// newMetrics registers the collectors with reg, which the caller owns.
func newMetrics(reg prometheus.Registerer) *metrics {
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
	m := &metrics{
		streamsOpen:    gauge("relay_streams_open", "Event streams open now."),
		streamsLimit:   gauge("relay_streams_limit", "How many event streams may be open, as RELAY_MAX_STREAMS says."),
		awakeLimit:     gauge("relay_sessions_awake_limit", "How many sandboxes may be awake, as RELAY_MAX_SESSIONS says."),
		streamsEnded:   counters("relay_streams_ended_total", "Event streams ended, by reason.", "reason"),
		resumes:        counters("relay_resumes_total", "Where the events that a returning stream asked for came from.", "from"),
		eventsSent:     counter("relay_events_sent_total", "Events written to event streams."),
		bytesSent:      counter("relay_event_bytes_sent_total", "Bytes of events written to event streams."),
		turns:          counters("relay_turns_total", "Turns posted, by result: accepted, repeated or the problem's code.", "result"),
		acceptSeconds:  histogram("relay_turn_accept_seconds", "From a turn's request to its acceptance, a boot included.", seconds),
		firstEvent:     histogram("relay_turn_first_event_seconds", "From accepting a turn to the agent's first event.", turns),
		turnSeconds:    histogram("relay_turn_seconds", "From accepting a turn to its end.", turns),
		sessionsLive:   gauge("relay_sessions_live", "Sessions held in memory."),
		slept:          counter("relay_sessions_put_to_sleep_total", "Sandboxes put to sleep to make room for others."),
		boots:          counters("relay_session_wakes_total", "Times a sandbox was made sure to run, by kind (new, resume) and result.", "kind", "result"),
		bootSeconds:    histograms("relay_session_wake_seconds", "Time until the sandbox ran, by kind.", seconds, "kind"),
		refusals:       counters("relay_refusals_total", "Requests refused, by the problem's code.", "code"),
		panics:         counter("relay_panics_total", "Faults in the relay's own code that were caught."),
		capacity:       counters("relay_capacity_refusals_total", "Refusals at_capacity, by what there is no more of: awake (sandboxes), bodies (memory for large ones), budget (new sessions of the day) or streams.", "cause"),
		requests:       counters("relay_requests_total", "Requests answered, by route and status.", "route", "status"),
		upstreamCalls:  counters("relay_upstream_requests_total", "Requests to AnyFrame, by operation and status.", "op", "status"),
		upstreamTime:   histograms("relay_upstream_request_seconds", "Time until AnyFrame answered, by operation.", seconds, "op"),
		upstreamOpen:   gauge("relay_upstream_streams", "AnyFrame event streams that are followed now."),
		upstreamReopen: counters("relay_upstream_stream_reconnects_total", "Times an AnyFrame stream broke and was opened again, by cause.", "cause"),
		pumpLag:        histogram("relay_pump_lag_seconds", "From reading an event of AnyFrame's to having it ready for every stream.", short),
		holesFilled:    counter("relay_upstream_events_filled_total", "Events that AnyFrame's stream left out and its transcript had."),
		breakerOpen:    gauge("relay_upstream_breaker_open", "1 while the circuit breaker keeps requests from AnyFrame."),
		keyRefused:     gauge("relay_upstream_key_refused", "1 while AnyFrame refuses the key."),
		storeTime:      histograms("relay_store_seconds", "Time that the store took, by operation.", short, "op"),
		storeErrors:    counters("relay_store_errors_total", "Store operations that failed, by operation.", "op"),
	}
	for label, values := range map[*prometheus.CounterVec][]string{
		m.streamsEnded:   {endGone, endSlow, endLifetime, endDrained, endVoided},
		m.resumes:        {fromMemory, fromUpstream, fromReset},
		m.turns:          {turnAccepted, turnRepeated},
		m.upstreamReopen: {brokeEnded, brokeSilent, brokeBroken},
	} {
		for _, v := range values {
			label.WithLabelValues(v)
		}
	}
	for _, kind := range []string{bootNew, bootResume} {
		m.boots.WithLabelValues(kind, bootOK)
	}
	return m
}

func (m *metrics) upstream(op, status string, took time.Duration) {
	m.upstreamCalls.WithLabelValues(op, status).Inc()
	m.upstreamTime.WithLabelValues(op).Observe(took.Seconds())
}

// stored notes a call to the store. A row that is gone or that somebody else
// has changed is an answer, and a caller who left is no failure.
func (m *metrics) stored(op string, took time.Duration, err error) {
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

func (m *metrics) request(route string, status int) {
	m.requests.WithLabelValues(route, strconv.Itoa(status)).Inc()
}
