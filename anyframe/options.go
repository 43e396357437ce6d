package anyframe

import (
	"log/slog"
	"net/http"
	"time"
)

// Option sets up a [Client].
type Option func(*options)

type options struct {
	apiKey     string
	baseURL    string
	dotEnv     string
	httpClient *http.Client
	timeout    time.Duration
	retry      RetryPolicy
	logger     *slog.Logger
	userAgent  string
	middleware []func(http.RoundTripper) http.RoundTripper
}

// WithAPIKey sets the key. "" leaves it to the environment.
func WithAPIKey(key string) Option { return func(o *options) { o.apiKey = key } }

// WithBaseURL sets where the API is, with https, or with http on a loopback
// host. It may have a path, and neither user, query nor fragment. "" leaves it
// to the environment.
func WithBaseURL(u string) Option { return func(o *options) { o.baseURL = u } }

// WithDotEnv sets the file that stands in for missing environment variables;
// "" reads none. Default ".env" in the working directory. A file that is not
// there is no fault.
func WithDotEnv(path string) Option { return func(o *options) { o.dotEnv = path } }

// WithHTTPClient uses a copy of hc. Redirects are switched off in the copy, and
// its Timeout, per attempt, never reaches a stream. A nil Transport means this
// package's own, not [http.DefaultTransport].
func WithHTTPClient(hc *http.Client) Option { return func(o *options) { o.httpClient = hc } }

// WithTimeout bounds each attempt of an ordinary call, body included, and how
// long a stream may take to open. 0 means 30 s, negative no limit.
func WithTimeout(perAttempt time.Duration) Option { return func(o *options) { o.timeout = perAttempt } }

// WithRetry sets when and how calls are made again.
func WithRetry(p RetryPolicy) Option { return func(o *options) { o.retry = p } }

// WithLogger sends one record per attempt, at debug level, to l: method, path,
// status and duration, never bodies or keys. Without it the client is silent
// unless ANYFRAME_LOG_LEVEL is set.
func WithLogger(l *slog.Logger) Option { return func(o *options) { o.logger = l } }

// WithUserAgent puts product, as in "shop/1.2", before this client's own name.
func WithUserAgent(product string) Option { return func(o *options) { o.userAgent = product } }

// WithMiddleware wraps the transport. The first wraps all the others, and each
// sees every attempt, streams included, with the key in its header. A wrapper
// that makes a request again undoes the promises about sending once.
func WithMiddleware(mw ...func(http.RoundTripper) http.RoundTripper) Option {
	return func(o *options) { o.middleware = append(o.middleware, mw...) }
}

// CallOption changes one call.
type CallOption func(*callOptions)

type callOptions struct {
	timeout time.Duration
	retries int
	capture *ResponseInfo
}

// CallTimeout bounds each attempt of this call. 0 or less is no limit.
func CallTimeout(d time.Duration) CallOption {
	return func(o *callOptions) { o.timeout = max(d, 0) }
}

// CallRetries sets how often this call may be made again; 0 or less is never.
func CallRetries(n int) CallOption { return func(o *callOptions) { o.retries = max(n, 0) } }

// CaptureResponse fills dst when the call is over, whether it succeeded or not.
// dst is zero when there was no answer at all, but for Attempts.
func CaptureResponse(dst *ResponseInfo) CallOption {
	return func(o *callOptions) { o.capture = dst }
}

// ResponseInfo is what was around the value a call returned.
type ResponseInfo struct {
	StatusCode int
	Header     http.Header
	RequestID  string // X-Request-Id
	Attempts   int    // requests made
	Body       []byte // as it came; where that is a new token, the token too
}

func (c *Client) callOptions(opts []CallOption) callOptions {
	o := callOptions{timeout: c.timeout, retries: c.retry.MaxRetries}
	for _, opt := range opts {
		opt(&o)
	}
	return o
}
