package anyframe

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"time"
)

// Option configures a [Client].
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

	plainHTTP   bool
	tlsConfig   *tls.Config
	dialContext func(ctx context.Context, network, addr string) (net.Conn, error)
	proxy       func(*http.Request) (*url.URL, error)
}

// WithAPIKey sets the key, a string or a [Secret]. If it is empty, the key is read
// from the environment.
func WithAPIKey[K string | Secret](key K) Option {
	plain := ""
	switch k := any(key).(type) {
	case string:
		plain = k
	case Secret:
		plain = k.Reveal()
	}
	return func(o *options) { o.apiKey = plain }
}

// WithBaseURL sets the API's base URL. It must use https, or http on a loopback
// host. It may have a path, but not the /api with which all paths of the API begin,
// and no user, query or fragment. If it is "", the base URL is read from the
// environment.
func WithBaseURL(u string) Option { return func(o *options) { o.baseURL = u } }

// WithPlainHTTP allows a base URL with http on a host other than loopback, such as
// a proxy in a private network. The key is then sent over that network unencrypted.
// A public IP address is still refused.
func WithPlainHTTP() Option { return func(o *options) { o.plainHTTP = true } }

// WithDotEnv sets the file that supplies missing environment variables; "" reads
// none. The default is ".env" in the working directory. A missing file is not an
// error.
func WithDotEnv(path string) Option { return func(o *options) { o.dotEnv = path } }

// WithHTTPClient uses a copy of hc. The copy does not follow redirects, and its
// Timeout applies to each attempt but never to a stream. A nil Transport means this
// package's own, as [DefaultTransport] returns it, not [http.DefaultTransport].
//
// A transport other than [http.Transport] must support [net/http/httptrace].
// Otherwise the client cannot distinguish requests that were sent from those that
// were not, and retries a POST only after a failed dial that is reported as a
// [net.OpError]. [http.DefaultTransport] keeps two idle connections per host, where
// this package's transport keeps 1024, and does not detect a dead HTTP/2 peer.
func WithHTTPClient(hc *http.Client) Option { return func(o *options) { o.httpClient = hc } }

// WithTLSConfig sets the TLS configuration, such as trusted authorities (RootCAs)
// or a client certificate. It is copied. WithTLSConfig, WithDialContext and
// WithProxy cannot be combined with a Transport in [WithHTTPClient].
func WithTLSConfig(c *tls.Config) Option { return func(o *options) { o.tlsConfig = c } }

// WithDialContext sets the function that opens connections, in place of a
// [net.Dialer] with a timeout of 10 s.
func WithDialContext(dial func(ctx context.Context, network, addr string) (net.Conn, error)) Option {
	return func(o *options) { o.dialContext = dial }
}

// WithProxy sets the function that selects a request's proxy, in place of
// [http.ProxyFromEnvironment]. Use [http.ProxyURL] for a fixed proxy. A function
// that returns nil selects none.
func WithProxy(proxy func(*http.Request) (*url.URL, error)) Option {
	return func(o *options) { o.proxy = proxy }
}

// transport returns the transport of a client without its own.
func (o *options) transport() *http.Transport {
	t := DefaultTransport()
	if o.tlsConfig != nil {
		t.TLSClientConfig = o.tlsConfig.Clone()
	}
	if o.dialContext != nil {
		t.DialContext = o.dialContext
	}
	if o.proxy != nil {
		t.Proxy = o.proxy
	}
	return t
}

// checkTransport refuses options that would have no effect.
func (o *options) checkTransport() error {
	if o.httpClient == nil || o.httpClient.Transport == nil {
		return nil
	}
	var faults error
	for _, option := range []struct {
		name string
		set  bool
	}{{"WithTLSConfig", o.tlsConfig != nil}, {"WithDialContext", o.dialContext != nil}, {"WithProxy", o.proxy != nil}} {
		if option.set {
			faults = errors.Join(faults, errors.New(option.name+": the client of WithHTTPClient has a Transport of its own: set it up there"))
		}
	}
	return faults
}

// WithTimeout bounds each attempt of an ordinary call, including its body, and the
// opening of a stream. 0 means 30 s, negative no limit.
func WithTimeout(perAttempt time.Duration) Option { return func(o *options) { o.timeout = perAttempt } }

// WithRetry sets when and how calls are retried.
func WithRetry(p RetryPolicy) Option { return func(o *options) { o.retry = p } }

// WithLogger sends one record per attempt to l, at debug level, with method, path,
// attempt, status and duration, and never a body or key. Each retry and each
// reconnect of a stream is a record at info level. Without a logger the client logs
// nothing unless ANYFRAME_LOG_LEVEL is set.
func WithLogger(l *slog.Logger) Option { return func(o *options) { o.logger = l } }

// WithUserAgent puts product, as in "shop/1.2", before this client's own name.
func WithUserAgent(product string) Option { return func(o *options) { o.userAgent = product } }

// WithMiddleware wraps the transport. The first middleware is the outermost. Each
// receives every attempt, including streams, with the key in its header.
//
// Middleware that passes on the request with its context costs only its own time.
// Middleware that drops the context hides whether the request was sent, like a
// transport without httptrace; see [WithHTTPClient]. Middleware that repeats a
// request breaks the guarantee that a message is sent once. Middleware that reads a
// whole body before it returns delays the events of a stream.
func WithMiddleware(mw ...func(http.RoundTripper) http.RoundTripper) Option {
	return func(o *options) { o.middleware = append(o.middleware, mw...) }
}
