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

// Version is this client's version, as its User-Agent says it.
const Version = "0.1.0"

// Where the API is. It is moving from one domain to the other: errors that mean
// that it is not at one of them name the other.
const (
	DefaultBaseURL   = "https://api.anyfrm.com" // unless set otherwise
	AlternateBaseURL = "https://api.anyframe.dev"
)

// defaultTimeout bounds one attempt of an ordinary call, its body included.
const defaultTimeout = 30 * time.Second

// maxBody bounds the answer of an ordinary call, in bytes: a full transcript
// page of 5,000 rows fits, a server gone mad does not take all memory.
const maxBody = 64 << 20

// Client talks to the API with one key. It is made by [New], safe for
// concurrent use, and has nothing to close.
type Client struct {
	Agents      *AgentsService      // agents, their builds and what they can do
	Sessions    *SessionsService    // sandboxes, the chat with the agent in them, previews
	Connectors  *ConnectorsService  // MCP servers for all agents to share
	Credentials *CredentialsService // what agents log in with
	Tokens      *TokensService      // keys of this API
	Attention   *AttentionService   // what waits for a person

	baseURL   string // no trailing slash
	key       secret
	userAgent string
	timeout   time.Duration // per attempt; 0 is none
	retry     RetryPolicy   // defaults filled in
	log       *slog.Logger
	calls     *http.Client      // ordinary calls
	streams   *http.Client      // the same without a Timeout
	transport http.RoundTripper // of both, without the middleware
}

// New returns a client. It makes no request. What no option sets comes from the
// environment, and what that lacks from a .env file in the working directory, of
// which only these variables are read; the process environment is never written
// to. Empty is absent.
//
//	ANYFRAME_API_KEY    the key, required; ANYFRAME_API_TOKEN is its old name
//	ANYFRAME_BASE_URL   default https://api.anyfrm.com
//	ANYFRAME_LOG_LEVEL  debug, info, warn or error, to standard error; default none
//
// A base URL in the file counts only when the key is there too: otherwise a stray
// file could have a key sent to a host of its choosing.
//
// The error lists everything that is wrong, and matches [ErrNoAPIKey] when there
// is no key.
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
	// A redirect would turn a POST into a GET and carry the key along.
	calls.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	streams := *calls
	streams.Timeout = 0 // it would cut every stream at its limit

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

// CloseIdleConnections closes the connections that wait for another request, as
// [http.Client.CloseIdleConnections] does, also beneath middleware. Requests and
// streams that are under way go on, and the client can still be used. A
// transport that the caller brought is asked too.
func (c *Client) CloseIdleConnections() {
	if t, ok := c.transport.(interface{ CloseIdleConnections() }); ok {
		t.CloseIdleConnections()
	}
}

// String names the client without its key.
func (c *Client) String() string { return "anyframe.Client(" + c.baseURL + ")" }

// GoString is String: %#v would print every field.
func (c *Client) GoString() string { return c.String() }

// LogValue is String: a log is no place for a key.
func (c *Client) LogValue() slog.Value { return slog.StringValue(c.String()) }

// secret holds a key where neither fmt nor encoding/json can follow.
type secret struct{ reveal func() string }

func newSecret(s string) secret { return secret{func() string { return s }} }

// readBody reads at most limit bytes; what is more sets tooLarge.
func readBody(r io.Reader, limit int64) (body []byte, tooLarge bool, err error) {
	body, err = io.ReadAll(io.LimitReader(r, limit+1))
	if int64(len(body)) > limit {
		return body[:limit], true, nil
	}
	return body, false, err
}
