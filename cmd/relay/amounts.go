package main

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/anyframe-relay/relay/relay"
)

// The largest amounts. The relay adds several durations, and multiplies counts and sizes by
// small factors and by each other. None of that overflows below these.
const (
	maxDuration    = 50 * 365 * 24 * time.Hour
	maxCount       = 1_000_000_000
	maxAttachments = 1000
	maxSize        = 1 << 40
)

// errDuration has the whole valid range, so that it takes one attempt to correct a value.
var errDuration = fmt.Errorf("must be a duration from 1s to %.0fh, such as 90s, 5m or 720h", maxDuration.Hours())

func duration(at func(*settings) *time.Duration) reader {
	return func(s *settings, v string) error {
		d, err := time.ParseDuration(v)
		if err != nil || d < time.Second || d > maxDuration {
			return errDuration
		}
		*at(s) = d
		return nil
	}
}

// retention reads a duration, which may be in days, or off.
func retention(s *settings, v string) error {
	if v == "off" {
		s.relay.Retention = 0
		return nil
	}
	d, err := time.ParseDuration(v)
	if days, inDays := strings.CutSuffix(v, "d"); inDays {
		var n int
		n, err = strconv.Atoi(days)
		d = time.Duration(min(n, maxCount/1000)) * 24 * time.Hour // more days would overflow, and exceed the limit anyway
	}
	if err != nil || d < time.Second || d > maxDuration {
		return fmt.Errorf("must be from 1s to %dd, such as 90d or 2160h, or off", maxDuration/(24*time.Hour))
	}
	s.relay.Retention = d
	return nil
}

// number reads a count from least to most.
func number(least, most int, at func(*settings) *int) reader {
	return func(s *settings, v string) error {
		n, err := strconv.Atoi(v)
		if err != nil || n < least || n > most {
			return fmt.Errorf("must be a whole number from %d to %d", least, most)
		}
		*at(s) = n
		return nil
	}
}

func budget(at func(*settings) *int) reader {
	count := number(1, maxCount, at)
	return func(s *settings, v string) error {
		if v == "off" {
			*at(s) = 0
			return nil
		}
		if err := count(s, v); err != nil {
			return fmt.Errorf("%w, or off", err)
		}
		return nil
	}
}

// size reads a number of bytes of at least least.
func size(least int, at func(*settings) *int) reader {
	units := []struct {
		suffix string
		bytes  int
	}{{"KiB", 1 << 10}, {"MiB", 1 << 20}, {"GiB", 1 << 30}, {"B", 1}, {"", 1}}
	return func(s *settings, v string) error {
		for _, u := range units {
			digits, ok := strings.CutSuffix(v, u.suffix)
			if !ok {
				continue
			}
			n, err := strconv.Atoi(strings.TrimSpace(digits))
			if err != nil || n < least || n > maxSize/u.bytes {
				break
			}
			*at(s) = n * u.bytes
			return nil
		}
		return fmt.Errorf("must be a size from %d to %dGiB, such as 16KiB or 4MiB", least, maxSize>>30)
	}
}

// rates reads a list of rates such as 20/m,300/d.
func rates(at func(*settings) *relay.Rates) reader {
	windows := map[string]time.Duration{"s": time.Second, "m": time.Minute, "h": time.Hour, "d": relay.Day}
	return func(s *settings, v string) error {
		if v == "off" {
			*at(s) = nil
			return nil
		}
		var all relay.Rates
		seen := map[string]bool{}
		for part := range strings.SplitSeq(v, ",") {
			count, unit, _ := strings.Cut(strings.TrimSpace(part), "/")
			n, err := strconv.Atoi(count)
			window, ok := windows[unit]
			if err != nil || !ok || n < 1 || n > maxCount {
				return fmt.Errorf("must be a list such as 20/m,300/d (from 1 to %d, units s, m, h and d), or off", maxCount)
			}
			if seen[unit] {
				return fmt.Errorf("has more than one rate per %s", unit)
			}
			seen[unit] = true
			all = append(all, relay.Rate{Limit: n, Window: window})
		}
		*at(s) = all
		return nil
	}
}
