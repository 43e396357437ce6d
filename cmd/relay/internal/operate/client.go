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

// client calls the API of one relay.
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
	// A redirect must not send the token to another address.
	c.http.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return c, nil
}

// call makes a request to /api and returns the response body. If the relay refuses the
// request, call returns the body and an error.
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
		return nil, fmt.Errorf("no relay reached at %s: %w", c.base, errors.Unwrap(err))
	}
	defer res.Body.Close()
	text, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer))
	if err != nil {
		return nil, fmt.Errorf("read the response: %w", err)
	}
	if res.StatusCode/100 == 2 {
		return text, nil
	}
	var p struct{ Code, Detail string }
	if json.Unmarshal(text, &p) != nil || p.Code == "" {
		return nil, fmt.Errorf("%s returned %s: is this a relay's admin address?", c.base, res.Status)
	}
	switch p.Code {
	case "admin_unauthorized":
		p.Detail = "the relay does not accept this token; set RELAY_ADMIN_TOKEN to one of the relay's tokens"
	case "not_found":
		p.Detail = "no such conversation, prompt or block"
	}
	return text, fmt.Errorf("request refused: %s: %s", p.Code, p.Detail)
}
