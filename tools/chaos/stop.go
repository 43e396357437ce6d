//go:build unix

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"
)

// stop sends a turn, stops it immediately through another front, and polls until it
// is known whether AnyFrame received it.
func (v *visitor) stop(ctx context.Context, i int) error {
	key, text := fmt.Sprint("stop-", i), fmt.Sprintf("visitor %d turn %d to stop", v.n, i)
	body, err := json.Marshal(map[string]string{"text": text})
	if err != nil {
		return err
	}
	var first sync.WaitGroup
	first.Go(func() {
		_, _ = v.postOnce(ctx, v.n%len(v.fronts), "/v1/messages", string(body), key, http.StatusAccepted)
	})
	rest(ctx, jitter(0, 20*time.Millisecond))
	for range 3 { // the relay may not have the turn yet, or never get it
		if _, err := v.postOnce(ctx, (v.n+1)%len(v.fronts), "/v1/turns/"+key+"/stop", "", "", http.StatusAccepted); err == nil || ctx.Err() != nil {
			break
		}
		rest(ctx, jitter(20*time.Millisecond, 100*time.Millisecond))
	}
	first.Wait()
	_, err = v.post(ctx, "/v1/messages", string(body), key, http.StatusAccepted)
	if r, ok := errors.AsType[*refusal](err); ok && r.status == http.StatusConflict && strings.Contains(r.body, "turn_stopped") {
		v.never = append(v.never, text)
		return nil
	}
	if err == nil {
		v.turns = append(v.turns, text)
	}
	return err
}
