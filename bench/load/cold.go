package main

import (
	"context"
	"net/http"
	"time"
)

const firstByte = "first byte ms"

// runCold starts the relay again and measures the time to its first byte.
func runCold(ctx context.Context, s *stage, _ options) (result, error) {
	s.proc.stop()
	begun := time.Now()
	var err error
	if s.proc, err = s.peer.start(ctx, s); err != nil {
		return nil, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+s.addr+"/healthz", nil)
	if err != nil {
		return nil, err
	}
	res, err := s.http.Do(req)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	return result{firstByte: float64(time.Since(begun).Microseconds()) / 1e3}, nil
}
