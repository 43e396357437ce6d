package operate

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"
)

const (
	timeout   = 30 * time.Second
	maxAnswer = 64 << 20
)

// client asks one relay.
type client struct {
	base  string // without a slash at the end
	token string
	http  http.Client
}

func newClient(base, token string) (*client, error) {
	u, err := url.Parse(base)
	if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" || u.User != nil {
		return nil, errors.New("--admin must be a URL such as http://127.0.0.1:9091")
	}
	c := &client{base: strings.TrimRight(base, "/"), token: token}
	c.http.Timeout = timeout
	// The token is for this address and no other.
	c.http.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return c, nil
}

// call makes a request to /api and returns the answer's body, or the refusal.
func (c *client) call(ctx context.Context, method, path string, body any) (json.RawMessage, error) {
	var in io.Reader
	if body != nil {
		text, err := json.Marshal(body)
		if err != nil {
			return nil, err
		}
		in = bytes.NewReader(text)
	}
	req, err := http.NewRequestWithContext(ctx, method, c.base+"/api"+path, in)
	if err != nil {
		return nil, err
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if c.token != "" {
		req.Header.Set("Authorization", "Bearer "+c.token)
	}
	res, err := c.http.Do(req)
	if err != nil {
		return nil, fmt.Errorf("no relay answers at %s: %w", c.base, errors.Unwrap(err))
	}
	defer res.Body.Close()
	text, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer))
	if err != nil {
		return nil, fmt.Errorf("read the answer: %w", err)
	}
	if res.StatusCode/100 == 2 {
		return text, nil
	}
	var p struct{ Code, Detail string }
	if json.Unmarshal(text, &p) != nil || p.Code == "" {
		return nil, fmt.Errorf("%s answers %s: is this a relay's admin address?", c.base, res.Status)
	}
	switch p.Code {
	case "admin_unauthorized":
		p.Detail = "the relay does not take this token; set RELAY_ADMIN_TOKEN to one that it has"
	case "not_found":
		p.Detail = "there is no such thing"
	}
	return text, fmt.Errorf("refused as %s: %s", p.Code, p.Detail)
}
