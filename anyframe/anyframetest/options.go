package anyframetest

import (
	"crypto/tls"
	"time"
)

// Defaults of a [Server].
const (
	defaultAgentID   = 4242
	defaultKeepalive = 15 * time.Second
)

// An Option configures a [Server]. Options are passed to [New] or [Start] and apply
// for the server's lifetime.
type Option func(*settings)

type settings struct {
	key           string
	cert          *tls.Certificate // nil for plain HTTP
	agentSeeds    []agentSeed
	defaultScript Script
	buildDelay    time.Duration
	buildLines    []string
	bootDelay     time.Duration
	snapshotDelay time.Duration
	idleTimeout   time.Duration
	keepalive     time.Duration
	pace          time.Duration
	seqStep       int64
	wordsPerDelta int
	unnumbered    bool
	noEcho        bool
	noBlocks      bool
	noImage       bool
}

// An agentSeed is an agent that exists from the start.
type agentSeed struct {
	id     int64
	script Script
}

// WithKey sets the secret key that requests must contain. The default is a new key
// that begins with "afm_test_".
func WithKey(key string) Option { return func(o *settings) { o.key = key } }

// WithAgent adds an agent. [Server.AgentID] is the id of the first one. Without
// this option there is one agent, which repeats its messages. A nil script means
// that of [WithScript].
func WithAgent(id int64, script Script) Option {
	return func(o *settings) { o.agentSeeds = append(o.agentSeeds, agentSeed{id: id, script: script}) }
}

// WithScript sets the script of agents without their own: those created through the
// API. By default they repeat their messages.
func WithScript(script Script) Option { return func(o *settings) { o.defaultScript = script } }

// WithBootDelay sets how long a session stays booting. Default 0: the response to
// create or resume still has the status booting, and the next read running.
func WithBootDelay(d time.Duration) Option { return func(o *settings) { o.bootDelay = d } }

// WithSnapshotDelay sets how long a session stays snapshotting. Default 0: the
// response to terminate has the status snapshotting, and the next read terminated.
func WithSnapshotDelay(d time.Duration) Option { return func(o *settings) { o.snapshotDelay = d } }

// WithBuildDelay sets how long a build takes. It is queued for the first quarter of
// that time; the lines of its log are spread over the rest. Default 0: the response
// says that it is queued, and the next read that it is done.
func WithBuildDelay(d time.Duration) Option { return func(o *settings) { o.buildDelay = d } }

// WithBuildLog sets the lines of the log of every build. The default lines name the
// code's source and the installed packages.
func WithBuildLog(lines ...string) Option { return func(o *settings) { o.buildLines = lines } }

// WithIdleTimeout sets how long a session may run without a turn before it is put
// to sleep. Default 0: the session's own idle_timeout_s. A turn that waits for an
// answer is not idle; an open event stream does not count.
func WithIdleTimeout(d time.Duration) Option { return func(o *settings) { o.idleTimeout = d } }

// WithKeepalive sets how long an event stream is silent before it sends a comment.
// Default 15s; 0 or less: never.
func WithKeepalive(d time.Duration) Option { return func(o *settings) { o.keepalive = d } }

// WithPace sets the pause between the deltas of [Chat.Say]. Default 0.
func WithPace(d time.Duration) Option { return func(o *settings) { o.pace = d } }

// WithWordsPerDelta sets how many words of [Chat.Say] form a delta. Default 1.
// Fewer and longer deltas make thousands of long answers cheaper. It panics if n is
// less than 1.
func WithWordsPerDelta(n int) Option {
	if n < 1 {
		panic("anyframetest: a delta of less than 1 word")
	}
	return func(o *settings) { o.wordsPerDelta = n }
}

// WithSeqStep sets the distance between consecutive event numbers. Default 1; with
// 3 a log has the numbers 1, 4, 7 … It panics if n is less than 1.
func WithSeqStep(n int64) Option {
	if n < 1 {
		panic("anyframetest: the seq step is less than 1")
	}
	return func(o *settings) { o.seqStep = n }
}

// WithUnnumberedDeltas sends deltas without an id, only to streams that are open at
// that time: they do not appear in transcripts or replays. By default they are
// numbered and kept like every other event.
func WithUnnumberedDeltas() Option { return func(o *settings) { o.unnumbered = true } }

// WithoutUserEcho omits user_message events from the log. The message still takes a
// number, so the log has a gap there.
func WithoutUserEcho() Option { return func(o *settings) { o.noEcho = true } }

// WithRepeatedBlocks sets whether a complete assistant block follows its deltas.
// Default true. Without it, and with unnumbered deltas, the text of [Chat.Say] is
// not kept.
func WithRepeatedBlocks(repeated bool) Option { return func(o *settings) { o.noBlocks = !repeated } }

// WithoutImage starts with the agents of [WithAgent] not built: they have no image,
// and their build status has no state.
func WithoutImage() Option { return func(o *settings) { o.noImage = true } }
