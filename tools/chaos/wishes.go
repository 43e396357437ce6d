//go:build unix

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net/http"
	"strings"
	"time"
)

// rate rates one of the accepted turns, until that is accepted.
func (v *visitor) rate(ctx context.Context, key string) error {
	rating := []string{"up", "down"}[rand.N(2)] //nolint:gosec // a rating is no secret
	body := fmt.Sprintf(`{"turn":%q,"rating":%q}`, key, rating)
	if _, err := v.post(ctx, "/v1/feedback", body, "", http.StatusAccepted); err != nil {
		return err
	}
	v.rated[key] = rating
	return nil
}

// misrated requests the visitor's export and returns the number of turns without
// the final rating.
func (v *visitor) misrated(ctx context.Context) (n int, err error) {
	var out struct {
		Feedback []struct{ Turn, Rating string }
	}
	for try := range 5 {
		if err = v.fetch(ctx, try%len(v.fronts), "/v1/export", &out); err == nil {
			break
		}
		pause(ctx, err)
	}
	got := map[string]string{}
	for _, word := range out.Feedback {
		got[word.Turn] = word.Rating
	}
	for key := range maps.Keys(v.rated) {
		if got[key] != v.rated[key] {
			n++
		}
	}
	return n + max(0, len(got)-len(v.rated)), err
}

func (v *visitor) fetch(ctx context.Context, front int, path string, out any) error {
	ctx, cancel := context.WithTimeout(ctx, postLimit)
	defer cancel()
	res, err := v.ask(ctx, front, http.MethodGet, path, "", nil)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(io.LimitReader(res.Body, 4096))
		return refused(res, text)
	}
	return json.NewDecoder(res.Body).Decode(out)
}

// guestWords begins the messages of guests. Guests erase everything.
const guestWords = "guest's secret"

// guests come one after the other until stop is closed. Each sends a message and
// erases it. It returns their number.
func (c *chaos) guests(ctx context.Context, stop <-chan struct{}) (n int, err error) {
	for ; ; n++ {
		v := newVisitor(n, 0, c.proxies)
		err := v.visit(ctx)
		v.close()
		if err != nil {
			return n, err
		}
		select {
		case <-stop:
			return n + 1, nil
		case <-time.After(jitter(time.Second, 2*time.Second)):
		}
	}
}

func (v *visitor) visit(ctx context.Context) error {
	if err := v.introduce(ctx); err != nil {
		return err
	}
	body := fmt.Sprintf(`{"text":"%s %d"}`, guestWords, v.n)
	if _, err := v.post(ctx, "/v1/messages", body, "guest", http.StatusAccepted); err != nil {
		return err
	}
	for try := v.n; ; try++ {
		err := v.erase(ctx, try%len(v.fronts))
		if r, ok := errors.AsType[*refusal](err); err == nil || ok && r.status == http.StatusUnauthorized {
			return nil // after a 401 an earlier attempt succeeded, and its response was lost
		}
		if ctx.Err() != nil || !passes(err) {
			return fmt.Errorf("guest %d: erase: %w", v.n, err)
		}
		pause(ctx, err)
	}
}

func (v *visitor) erase(ctx context.Context, front int) error {
	ctx, cancel := context.WithTimeout(ctx, postLimit)
	defer cancel()
	res, err := v.ask(ctx, front, http.MethodDelete, "/v1/visitor?erase=true", "", nil)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err == nil && res.StatusCode != http.StatusAccepted {
		err = refused(res, text)
	}
	return err
}

// leftOfGuests returns how many conversations of guests the control plane has.
func (c *chaos) leftOfGuests() (n int) {
	for _, s := range c.plane.Sessions() {
		for _, body := range c.plane.Messages(s.ID) {
			if strings.Contains(string(body), guestWords) {
				n++
				break
			}
		}
	}
	return n
}
