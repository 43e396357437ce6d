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

// An Option changes how a [Server] behaves. Options are given to [New] or
// [Start] and hold for the server's life.
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

// An agentSeed is an agent that is there from the start.
type agentSeed struct {
	id     int64
	script Script
}

// WithKey sets the secret key that requests must carry. The default is a
// fresh key that begins with "afm_test_".
func WithKey(key string) Option { return func(o *settings) { o.key = key } }

// WithAgent adds an agent. The first one added is the one that
// [Server.AgentID] names. Without this option there is one agent, which
// repeats what it is told. A nil script is that of [WithScript].
func WithAgent(id int64, script Script) Option {
	return func(o *settings) { o.agentSeeds = append(o.agentSeeds, agentSeed{id: id, script: script}) }
}

// WithScript sets what agents say that have no script of their own: those that
// are created over the API. By default they repeat what they are told.
func WithScript(script Script) Option { return func(o *settings) { o.defaultScript = script } }

// WithBootDelay sets how long a session stays booting. Default 0: the answer
// to create or resume still says booting, and the next look says running.
func WithBootDelay(d time.Duration) Option { return func(o *settings) { o.bootDelay = d } }

// WithSnapshotDelay sets how long a session stays snapshotting. Default 0: the
// answer to terminate says snapshotting, and the next look says terminated.
func WithSnapshotDelay(d time.Duration) Option { return func(o *settings) { o.snapshotDelay = d } }

// WithBuildDelay sets how long a build takes. For the first quarter of it, it
// is queued; the lines of its log are spread over the rest. Default 0: the
// answer says that it is queued, and the next look finds it done.
func WithBuildDelay(d time.Duration) Option { return func(o *settings) { o.buildDelay = d } }

// WithBuildLog sets the lines of the log of every build. The default says
// where the code is from and what is installed.
func WithBuildLog(lines ...string) Option { return func(o *settings) { o.buildLines = lines } }

// WithIdleTimeout sets after how much time without a turn a running session
// is put to sleep. Default 0: the session's own idle_timeout_s. A turn that
// waits for an answer is not idle; an open event stream does not count.
func WithIdleTimeout(d time.Duration) Option { return func(o *settings) { o.idleTimeout = d } }

// WithKeepalive sets after how much silence an event stream carries a comment.
// Default 15s; 0 or less: never.
func WithKeepalive(d time.Duration) Option { return func(o *settings) { o.keepalive = d } }

// WithPace sets the pause between the deltas of [Chat.Say]. Default 0.
func WithPace(d time.Duration) Option { return func(o *settings) { o.pace = d } }

// WithWordsPerDelta sets how many words of [Chat.Say] make a delta. Default 1.
// Fewer and longer deltas make long answers cheaper, when there are thousands
// of them. It panics when n is less than 1.
func WithWordsPerDelta(n int) Option {
	if n < 1 {
		panic("anyframetest: a delta of less than 1 word")
	}
	return func(o *settings) { o.wordsPerDelta = n }
}

// WithSeqStep sets the distance between the numbers of neighbouring events.
// Default 1; with 3 a log goes 1, 4, 7 … It panics when n is less than 1.
func WithSeqStep(n int64) Option {
	if n < 1 {
		panic("anyframetest: the seq step is less than 1")
	}
	return func(o *settings) { o.seqStep = n }
}

// WithUnnumberedDeltas sends deltas without an id, to streams that are open at
// that moment only: they are in no transcript and no replay. By default they
// are numbered and kept like every other event.
func WithUnnumberedDeltas() Option { return func(o *settings) { o.unnumbered = true } }

// WithoutUserEcho leaves user_message events out of the log. The message still
// takes a number, so the log has a hole there.
func WithoutUserEcho() Option { return func(o *settings) { o.noEcho = true } }

// WithRepeatedBlocks says whether a complete assistant block follows the
// deltas it is made of. Default true. Without it, and with unnumbered deltas,
// what [Chat.Say] says is kept nowhere.
func WithRepeatedBlocks(repeated bool) Option { return func(o *settings) { o.noBlocks = !repeated } }

// WithoutImage makes the agents of [WithAgent] ones that were never built: they
// have no image, and their build status has no state.
func WithoutImage() Option { return func(o *settings) { o.noImage = true } }
