package anyframe

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"slices"
	"time"
)

// Version is this client's version, as sent in its User-Agent.
const Version = "0.1.0"

// The API's base URLs. The API is moving from one domain to the other. If the API
// is not at one of them, the error names the other.
const (
	DefaultBaseURL   = "https://api.anyfrm.com" // the default
	AlternateBaseURL = "https://api.anyframe.dev"
)

// defaultTimeout bounds one attempt of an ordinary call, including its body.
const defaultTimeout = 30 * time.Second

// maxBody bounds the response of an ordinary call, in bytes. A full transcript page
// of 5,000 rows fits; a faulty server cannot exhaust memory.
const maxBody = 64 << 20

// Client calls the API with one key. [New] creates it. It is safe for concurrent
// use and need not be closed.
type Client struct {
	Agents      *AgentsService      // agents, their builds, skills, MCP servers and connectors
	Sessions    *SessionsService    // sandboxes, their chats and previews
	Connectors  *ConnectorsService  // MCP servers shared by all agents
	Credentials *CredentialsService // credentials that agents log in with
	Tokens      *TokensService      // keys of this API
	Attention   *AttentionService   // sessions that wait for a person

	baseURL   string // no trailing slash
	key       secret
	userAgent string
	timeout   time.Duration // per attempt; 0 means none
	retry     RetryPolicy   // defaults filled in
	log       *slog.Logger
	calls     *http.Client      // ordinary calls
	streams   *http.Client      // the same without a Timeout
	transport http.RoundTripper // of both, without the middleware
}

// New returns a client. It makes no request. A setting without an option is read
// from the environment, then from a .env file in the working directory. Only the
// variables below are read from that file, and the process environment is never
// modified. An empty value counts as absent.
//
//	ANYFRAME_API_KEY    the key, required; ANYFRAME_API_TOKEN is its old name
//	ANYFRAME_BASE_URL   default https://api.anyfrm.com
//	ANYFRAME_LOG_LEVEL  debug, info, warn or error, to standard error; default none
//
// A base URL in the file is used only if the key is there too. Otherwise a stray
// file could send a key from elsewhere to a host of its choosing.
//
// The error lists everything that is wrong. It matches [ErrNoAPIKey] if there is no
// key.
func New(opts ...Option) (*Client, error) {
	o := options{dotEnv: ".env"}
	for _, opt := range opts {
		opt(&o)
	}
	set, faults := o.settings()
	if set.key == "" && faults == nil {
		faults = ErrNoAPIKey
	}
	if set.key != "" {
		faults = errors.Join(faults, checkKey(set.key))
	}
	base, err := checkBaseURL(set.baseURL, o.plainHTTP)
	faults = errors.Join(faults, err)
	agent := "anyframe-go/" + Version
	if o.userAgent != "" {
		agent = o.userAgent + " " + agent
	}
	faults = errors.Join(faults, checkUserAgent(agent), o.checkTransport())
	if faults != nil {
		return nil, fmt.Errorf("anyframe: %w", faults)
	}

	calls := &http.Client{}
	if o.httpClient != nil {
		*calls = *o.httpClient
	}
	if calls.Transport == nil {
		calls.Transport = o.transport()
	}
	transport := calls.Transport
	for _, wrap := range slices.Backward(o.middleware) {
		calls.Transport = wrap(calls.Transport)
	}
	// A redirect would turn a POST into a GET and forward the key.
	calls.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	streams := *calls
	streams.Timeout = 0 // it would end every stream after that time

	c := &Client{
		baseURL:   base,
		key:       newSecret(set.key),
		userAgent: agent,
		timeout:   o.timeout,
		retry:     o.retry.withDefaults(),
		log:       set.log,
		calls:     calls,
		streams:   &streams,
		transport: transport,
	}
	if c.timeout == 0 {
		c.timeout = defaultTimeout
	}
	c.timeout = max(c.timeout, 0)
	c.Agents = &AgentsService{
		Skills: &SkillsService{c}, MCPs: &MCPsService{c}, Connectors: &AgentConnectorsService{c}, client: c,
	}
	c.Sessions = &SessionsService{Previews: &PreviewsService{c}, client: c}
	c.Connectors = &ConnectorsService{c}
	c.Credentials = &CredentialsService{c}
	c.Tokens = &TokensService{c}
	c.Attention = &AttentionService{c}
	c.log.Info("anyframe client ready",
		"base_url", base, "transport", fmt.Sprintf("%T", transport), "middleware", len(o.middleware))
	return c, nil
}

// CloseIdleConnections closes idle connections, as
// [http.Client.CloseIdleConnections] does, also below middleware and in the
// caller's own transport. Requests and streams in flight continue, and the client
// can still be used.
func (c *Client) CloseIdleConnections() {
	if t, ok := c.transport.(interface{ CloseIdleConnections() }); ok {
		t.CloseIdleConnections()
	}
}

// String identifies the client without its key.
func (c *Client) String() string { return "anyframe.Client(" + c.baseURL + ")" }

// GoString returns String: %#v would print every field.
func (c *Client) GoString() string { return c.String() }

// LogValue returns String, so that logs do not contain the key.
func (c *Client) LogValue() slog.Value { return slog.StringValue(c.String()) }

// secret holds a key where neither fmt nor encoding/json can reach it.
type secret struct{ reveal func() string }

func newSecret(s string) secret { return secret{func() string { return s }} }

// readBody reads at most limit bytes; it sets tooLarge if there are more.
func readBody(r io.Reader, limit int64) (body []byte, tooLarge bool, err error) {
	body, err = io.ReadAll(io.LimitReader(r, limit+1))
	if int64(len(body)) > limit {
		return body[:limit], true, nil
	}
	return body, false, err
}
