package telemetry

import (
	"context"
	"errors"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/anyframe-relay/relay/relay/internal/store"
)

// Metrics are the collectors. Labels come from fixed sets only.
type Metrics struct {
	streamsOpen                *prometheus.GaugeVec   // site
	sessionsLive               *prometheus.GaugeVec   // site
	slept                      *prometheus.CounterVec // site
	turnsOf                    *prometheus.CounterVec // result, site
	bootsOf                    *prometheus.CounterVec // kind, result, site
	endedOf                    *prometheus.CounterVec // reason, site
	refusalsOf                 *prometheus.CounterVec // code, site
	capacityOf                 *prometheus.CounterVec // cause, site
	requestsOf                 *prometheus.CounterVec // route, status, site
	challengesOf               *prometheus.CounterVec // result, site
	webhookWaiting, webhookOff *prometheus.GaugeVec   // site

	// Collectors with a site label are one site's: see [Metrics.ForSite].
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
	TurnEnds       *prometheus.CounterVec
	Stops          *prometheus.CounterVec
	Feedback       *prometheus.CounterVec // rating
	StopSeconds    prometheus.Histogram
	StopsFailed    prometheus.Counter
	AgentTokens    *prometheus.CounterVec // kind; only if AnyFrame reports it
	AgentCost      *prometheus.CounterVec // no label; only if AnyFrame reports it
	SessionsLive   prometheus.Gauge
	Slept          prometheus.Counter
	Boots          *prometheus.CounterVec   // kind, result
	BootSeconds    *prometheus.HistogramVec // kind
	Capacity       *prometheus.CounterVec   // cause
	Refusals       *prometheus.CounterVec   // code
	Challenges     *prometheus.CounterVec   // result
	Panics         prometheus.Counter
	Erasures       *prometheus.CounterVec // reason
	EraseFailures  prometheus.Counter
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
	adminRequests  *prometheus.CounterVec   // code
	adminActions   *prometheus.CounterVec   // action
	webhooks       *prometheus.CounterVec   // result
	WebhookWaiting prometheus.Gauge
	WebhookOff     prometheus.Gauge
	Paused         prometheus.Gauge
}

// The label values that are not from a table elsewhere. Each is exported from the start,
// at zero: a series that appears with its first increment has no rate before it.
const (
	EndGone     = "gone"     // the browser disconnected, or its connection broke
	EndSlow     = "slow"     // a write took longer than writeTimeout
	EndLifetime = "lifetime" // RELAY_STREAM_LIFETIME had passed
	EndDrained  = "drained"  // the relay is shutting down
	EndVoided   = "voided"   // the visitor was forgotten
	EndRemoved  = "removed"  // the site was removed
	EndBlocked  = "blocked"  // an operator blocked the visitor or the address

	FromMemory   = "memory"   // the log had the requested events
	FromUpstream = "upstream" // AnyFrame's transcript had them
	FromReset    = "reset"    // neither had them: the browser started over

	BrokeEnded  = "ended"  // AnyFrame ended it
	BrokeSilent = "silent" // not even heartbeats arrived
	BrokeBroken = "broken" // anything else

	BootNew    = "new"    // a sandbox was created
	BootResume = "resume" // the existing one was running, or was woken
	BootOK     = "ok"     // otherwise the problem's code

	WebhookDelivered = "delivered"
	WebhookRetried   = "retried" // it will be retried later
	WebhookRefused   = "refused" // given up
	WebhookDropped   = "dropped" // given up, because too many were waiting

	TurnAccepted = "accepted" // otherwise the problem's code
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
	gauges := func(name, help string) *prometheus.GaugeVec {
		g := prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: name, Help: help}, []string{"site"})
		reg.MustRegister(g)
		return g
	}
	m := &Metrics{
		streamsOpen:    gauges("relay_streams_open", "Open event streams, by site."),
		StreamsLimit:   gauge("relay_streams_limit", "Maximum number of open event streams (RELAY_MAX_STREAMS)."),
		AwakeLimit:     gauge("relay_sessions_awake_limit", "Maximum number of sandboxes awake (RELAY_MAX_SESSIONS)."),
		endedOf:        counters("relay_streams_ended_total", "Event streams ended, by reason and site.", "reason", "site"),
		Resumes:        counters("relay_resumes_total", "Resumed event streams, by source of the missed events: memory, upstream or reset.", "from"),
		EventsSent:     counter("relay_events_sent_total", "Events written to event streams."),
		BytesSent:      counter("relay_event_bytes_sent_total", "Bytes of events written to event streams."),
		turnsOf:        counters("relay_turns_total", "Turns posted, by result (accepted, repeated or the problem's code) and site.", "result", "site"),
		AcceptSeconds:  histogram("relay_turn_accept_seconds", "Time from a turn's request to its acceptance, including a boot.", seconds),
		FirstEvent:     histogram("relay_turn_first_event_seconds", "Time from a turn's acceptance to the agent's first event.", turns),
		TurnEnds:       counters("relay_turn_ends_total", "Turns ended, by reason: done, failed, interrupted or stopped.", "reason"),
		Stops:          counters("relay_stops_total", "Requests to stop a turn, by result: accepted or the problem's code.", "result"),
		Feedback:       counters("relay_feedback_total", "Ratings of answers, by rating: up, down, or none for a withdrawn rating.", "rating"),
		StopSeconds:    histogram("relay_stop_seconds", "Time from a stop request until AnyFrame received it or the turn ended.", turns),
		StopsFailed:    counter("relay_stops_failed_total", "Failed attempts to stop an agent. Each is retried."),
		TurnSeconds:    histogram("relay_turn_seconds", "Time from a turn's acceptance to its end.", turns),
		AgentTokens:    counters("relay_agent_tokens_total", "Tokens used by turns of this process, by kind, as far as AnyFrame reports them.", "kind"),
		AgentCost:      counters("relay_agent_cost_usd_total", "Cost of turns of this process in US dollars, as far as AnyFrame reports it."),
		sessionsLive:   gauges("relay_sessions_live", "Sessions in memory, by site."),
		slept:          counters("relay_sessions_put_to_sleep_total", "Sandboxes put to sleep to make room for others, by site.", "site"),
		bootsOf:        counters("relay_session_wakes_total", "Times a session's sandbox was started, woken or found running, by kind (new, resume), result and site.", "kind", "result", "site"),
		BootSeconds:    histograms("relay_session_wake_seconds", "Time until the sandbox was running, by kind.", seconds, "kind"),
		refusalsOf:     counters("relay_refusals_total", "Requests refused, by the problem's code and site.", "code", "site"),
		Panics:         counter("relay_panics_total", "Panics in the relay that were recovered."),
		Erasures:       counters("relay_erasures_total", "Erasures done, by who requested them: visitor, operator or retention.", "reason"),
		EraseFailures:  counter("relay_erasure_failures_total", "Failed attempts to erase. Each is retried."),
		capacityOf:     counters("relay_capacity_refusals_total", "Refusals at_capacity, by exhausted resource and site: answers (transcript requests), awake (sandboxes), bodies (memory for large bodies), budget (new sessions per day) or streams.", "cause", "site"),
		requestsOf:     counters("relay_requests_total", "Requests answered, by route, status and site.", "route", "status", "site"),
		challengesOf:   counters("relay_challenges_total", "Challenges issued, and solutions accepted or refused, by result and site.", "result", "site"),
		upstreamCalls:  counters("relay_upstream_requests_total", "Requests to AnyFrame, by operation and status.", "op", "status"),
		upstreamTime:   histograms("relay_upstream_request_seconds", "Response time of AnyFrame, by operation.", seconds, "op"),
		UpstreamOpen:   gauge("relay_upstream_streams", "Open AnyFrame event streams."),
		UpstreamReopen: counters("relay_upstream_stream_reconnects_total", "Times an AnyFrame event stream broke and was reopened, by cause.", "cause"),
		PumpLag:        histogram("relay_pump_lag_seconds", "Time from reading an AnyFrame event until it is ready for every stream.", short),
		HolesFilled:    counter("relay_upstream_events_filled_total", "Events missing from AnyFrame's stream that were read from its transcript."),
		BreakerOpen:    gauge("relay_upstream_breaker_open", "AnyFrame accounts in use whose circuit breaker blocks requests."),
		KeyRefused:     gauge("relay_upstream_key_refused", "API keys in use that AnyFrame rejects."),
		storeTime:      histograms("relay_store_seconds", "Duration of store operations, by operation.", short, "op"),
		storeErrors:    counters("relay_store_errors_total", "Failed store operations, by operation.", "op"),
		adminRequests:  counters("relay_admin_refusals_total", "Operators' requests refused, by the problem's code.", "code"),
		adminActions:   counters("relay_admin_actions_total", "Changes made by operators, by action.", "action"),
		webhooks:       counters("relay_webhook_deliveries_total", "Attempts to deliver an event, by result: delivered, retried, refused, or dropped because the outbox was full.", "result"),
		webhookWaiting: gauges("relay_webhook_waiting", "Events in the webhook outbox, by site."),
		webhookOff:     gauges("relay_webhook_off", "1 while the webhook is off because its receiver returned 410, by site."),
		Paused:         gauge("relay_paused", "1 while operators have paused new turns."),
	}
	begin(map[*prometheus.CounterVec][]string{
		m.Resumes:        {FromMemory, FromUpstream, FromReset},
		m.Erasures:       {"visitor", "operator", "retention"},
		m.UpstreamReopen: {BrokeEnded, BrokeSilent, BrokeBroken},
		m.adminRequests:  {"admin_unauthorized"},
		m.adminActions:   {"pause", "unpause"},
		m.TurnEnds:       {"done", "failed", "interrupted", "stopped"},
		m.Stops:          {"accepted"},
		m.Feedback:       {"up", "down", "none"},
		m.webhooks:       {WebhookDelivered, WebhookRetried, WebhookRefused, WebhookDropped},
	})
	return m.ForSite(DefaultSite)
}

// DefaultSite is the label of the site without a name.
const DefaultSite = "default"

// ForSite returns the metrics for one site: collectors about visitors have the site as a
// label, the others are shared.
func (m *Metrics) ForSite(site string) *Metrics {
	of := *m
	label := prometheus.Labels{"site": site}
	of.WebhookWaiting, of.WebhookOff = m.webhookWaiting.With(label), m.webhookOff.With(label)
	of.StreamsOpen, of.SessionsLive, of.Slept = m.streamsOpen.With(label), m.sessionsLive.With(label), m.slept.With(label)
	for to, from := range map[**prometheus.CounterVec]*prometheus.CounterVec{
		&of.Turns: m.turnsOf, &of.Boots: m.bootsOf, &of.StreamsEnded: m.endedOf, &of.Refusals: m.refusalsOf,
		&of.Capacity: m.capacityOf, &of.requests: m.requestsOf, &of.Challenges: m.challengesOf,
	} {
		*to = from.MustCurryWith(label)
	}
	begin(map[*prometheus.CounterVec][]string{
		of.StreamsEnded: {EndGone, EndSlow, EndLifetime, EndDrained, EndVoided, EndRemoved, EndBlocked},
		of.Turns:        {TurnAccepted, TurnRepeated},
	})
	for _, kind := range []string{BootNew, BootResume} {
		of.Boots.WithLabelValues(kind, BootOK)
	}
	return &of
}

// ForgetSite deletes the series of a removed site.
func (m *Metrics) ForgetSite(site string) {
	label := prometheus.Labels{"site": site}
	for _, vec := range []interface{ DeletePartialMatch(prometheus.Labels) int }{
		m.streamsOpen, m.sessionsLive, m.slept, m.webhookWaiting, m.webhookOff, m.turnsOf, m.bootsOf, m.endedOf, m.refusalsOf, m.capacityOf, m.requestsOf, m.challengesOf,
	} {
		vec.DeletePartialMatch(label)
	}
}

// begin exports the label values at zero.
func begin(all map[*prometheus.CounterVec][]string) {
	for label, values := range all {
		for _, v := range values {
			label.WithLabelValues(v)
		}
	}
}

// Webhook counts an attempt to deliver an event.
func (m *Metrics) Webhook(result string) { m.webhooks.WithLabelValues(result).Inc() }

// AdminRefusal counts a refused request of an operator.
func (m *Metrics) AdminRefusal(code string) { m.adminRequests.WithLabelValues(code).Inc() }

// AdminAction counts a change by an operator.
func (m *Metrics) AdminAction(action string) { m.adminActions.WithLabelValues(action).Inc() }

// Upstream counts a request to AnyFrame.
func (m *Metrics) Upstream(op, status string, took time.Duration) {
	m.upstreamCalls.WithLabelValues(op, status).Inc()
	m.upstreamTime.WithLabelValues(op).Observe(took.Seconds())
}

// Stored records a call to the store. A missing or changed row is a normal result, and a
// canceled call is not a failure.
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

// Request counts a visitor's request.
func (m *Metrics) Request(route string, status int) {
	m.requests.WithLabelValues(route, strconv.Itoa(status)).Inc()
}
