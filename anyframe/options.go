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

	plainHTTP   bool
	tlsConfig   *tls.Config
	dialContext func(ctx context.Context, network, addr string) (net.Conn, error)
	proxy       func(*http.Request) (*url.URL, error)
}

// WithAPIKey sets the key, a string or a [Secret]. An empty one leaves it to the
// environment.
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

// WithBaseURL sets where the API is, with https, or with http on a loopback
// host. It may have a path, but not the /api with which all paths of the API
// begin, and neither user, query nor fragment. "" leaves it to the environment.
func WithBaseURL(u string) Option { return func(o *options) { o.baseURL = u } }

// WithPlainHTTP allows a base URL with http on a host that is not a loopback
// one, such as a proxy within a private network. The key then goes over that
// network unencrypted. A public IP address is refused all the same.
func WithPlainHTTP() Option { return func(o *options) { o.plainHTTP = true } }

// WithDotEnv sets the file that stands in for missing environment variables;
// "" reads none. Default ".env" in the working directory. A file that is not
// there is no fault.
func WithDotEnv(path string) Option { return func(o *options) { o.dotEnv = path } }

// WithHTTPClient uses a copy of hc. Redirects are switched off in the copy, and
// its Timeout, per attempt, never reaches a stream. A nil Transport means this
// package's own, as [DefaultTransport] returns it, not [http.DefaultTransport].
//
// A transport of another kind than [http.Transport] must support
// [net/http/httptrace], or the client cannot tell a request that was never sent
// from one that was: a POST is then only retried after a failed dial that is
// reported as a [net.OpError]. [http.DefaultTransport] keeps two idle connections
// for a host, where ours keeps 1024, and does not notice a dead HTTP/2 peer.
func WithHTTPClient(hc *http.Client) Option { return func(o *options) { o.httpClient = hc } }

// WithTLSConfig sets how TLS is spoken, such as the authorities that are trusted
// (RootCAs) or a certificate of the client's own. It is copied. It cannot be
// combined with a Transport in [WithHTTPClient], and neither can WithDialContext
// and WithProxy.
func WithTLSConfig(c *tls.Config) Option { return func(o *options) { o.tlsConfig = c } }

// WithDialContext sets how connections are made, in place of a [net.Dialer] with
// a timeout of 10 s.
func WithDialContext(dial func(ctx context.Context, network, addr string) (net.Conn, error)) Option {
	return func(o *options) { o.dialContext = dial }
}

// WithProxy sets which proxy a request goes through, in place of
// [http.ProxyFromEnvironment]. See [http.ProxyURL] for a fixed one. A function
// that returns nil means none.
func WithProxy(proxy func(*http.Request) (*url.URL, error)) Option {
	return func(o *options) { o.proxy = proxy }
}

// transport returns the transport of a client that brings none.
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
	for name, set := range map[string]bool{
		"WithTLSConfig": o.tlsConfig != nil, "WithDialContext": o.dialContext != nil, "WithProxy": o.proxy != nil,
	} {
		if set {
			return errors.New(name + ": the client of WithHTTPClient has a Transport of its own: set it up there")
		}
	}
	return nil
}

// WithTimeout bounds each attempt of an ordinary call, body included, and how
// long a stream may take to open. 0 means 30 s, negative no limit.
func WithTimeout(perAttempt time.Duration) Option { return func(o *options) { o.timeout = perAttempt } }

// WithRetry sets when and how calls are made again.
func WithRetry(p RetryPolicy) Option { return func(o *options) { o.retry = p } }

// WithLogger sends one record per attempt to l, at debug level: method, path,
// attempt, status and duration, never bodies or keys. Another, at info level, says
// when an attempt is followed by a retry or a stream by a reconnect. Without a
// logger the client is silent unless ANYFRAME_LOG_LEVEL is set.
func WithLogger(l *slog.Logger) Option { return func(o *options) { o.logger = l } }

// WithUserAgent puts product, as in "shop/1.2", before this client's own name.
func WithUserAgent(product string) Option { return func(o *options) { o.userAgent = product } }

// WithMiddleware wraps the transport. The first wraps all the others, and each
// sees every attempt, streams included, with the key in its header.
//
// A wrapper that passes the request on with its context costs nothing but its own
// time. One that drops the context hides whether the request was sent, as a
// transport of another kind does; see [WithHTTPClient]. One that makes a request
// again undoes the promises about sending once, and one that reads a body to its
// end before it returns holds back the events of a stream.
func WithMiddleware(mw ...func(http.RoundTripper) http.RoundTripper) Option {
	return func(o *options) { o.middleware = append(o.middleware, mw...) }
}
