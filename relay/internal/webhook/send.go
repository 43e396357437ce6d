package webhook

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

const sendTimeout = 10 * time.Second

// verdict is the meaning of the receiver's response.
type verdict int

const (
	delivered verdict = iota
	again             // retry later
	refused           // give up
	gone              // send no more events at all
)

// sender posts messages.
type sender struct {
	config *Config
	key    []byte
	client *http.Client
}

func newSender(c *Config) (*sender, error) {
	key, err := c.key()
	if err != nil {
		return nil, err
	}
	transport := http.DefaultTransport.(*http.Transport).Clone() //nolint:forcetypeassert // it is one
	transport.MaxIdleConnsPerHost = workers
	return &sender{c, key, &http.Client{
		Transport: transport, Timeout: sendTimeout,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}, nil
}

// sign returns the signature of a body, see
// https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md#symmetric.
func (s *sender) sign(id, timestamp string, body []byte) string {
	mac := hmac.New(sha256.New, s.key)
	_, _ = fmt.Fprintf(mac, "%s.%s.%s", id, timestamp, body) // writes to a hash never fail
	return "v1," + base64.StdEncoding.EncodeToString(mac.Sum(nil))
}

// post sends a message. The error says why it was not delivered, without the URL; wait is
// the receiver's Retry-After.
func (s *sender) post(ctx context.Context, id string, m *message) (v verdict, wait time.Duration, err error) {
	body, err := m.body(s.config.Format)
	if err != nil {
		return refused, 0, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, string(s.config.URL), bytes.NewReader(body))
	if err != nil {
		return refused, 0, errors.New("the URL is not valid")
	}
	timestamp := strconv.FormatInt(time.Now().Unix(), 10)
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("User-Agent", "anyframe-relay")
	req.Header.Set("Webhook-Id", id)
	req.Header.Set("Webhook-Timestamp", timestamp)
	req.Header.Set("Webhook-Signature", s.sign(id, timestamp, body))
	res, err := s.client.Do(req)
	if err != nil {
		if e, ok := errors.AsType[*url.Error](err); ok {
			err = e.Err // without the URL, which may be a secret
		}
		return again, 0, err
	}
	defer res.Body.Close()
	_, _ = io.CopyN(io.Discard, res.Body, 64<<10) // so that the connection can be reused
	if res.StatusCode/100 == 2 {
		return delivered, 0, nil
	}
	err = fmt.Errorf("the receiver answers %d", res.StatusCode)
	switch code := res.StatusCode; {
	case code == http.StatusGone:
		return gone, 0, err
	case code == http.StatusRequestTimeout, code == http.StatusTooManyRequests, code >= http.StatusInternalServerError:
		return again, retryAfter(res.Header.Get("Retry-After")), err
	default:
		return refused, 0, err
	}
}

// retryAfter parses a Retry-After of either form, and returns 0 without one.
func retryAfter(s string) time.Duration {
	if n, err := strconv.Atoi(s); err == nil && n > 0 {
		return time.Duration(min(n, int(giveUpAfter/time.Second))) * time.Second
	}
	if t, err := http.ParseTime(s); err == nil {
		return min(max(time.Until(t), 0), giveUpAfter)
	}
	return 0
}

// Send sends one test event to the receiver, for relay doctor.
func Send(ctx context.Context, c *Config) error {
	s, err := newSender(c)
	if err != nil {
		return err
	}
	defer s.client.CloseIdleConnections()
	e := Event{Type: test, Time: time.Now(), Data: Data{Site: "default"}, About: time.Now().String()}
	m := e.message()
	_, _, err = s.post(ctx, e.id(), &m)
	return err
}
