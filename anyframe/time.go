package anyframe

import (
	"encoding/json"
	"math"
	"strconv"
	"strings"
	"time"
)

// Time is a moment as the API writes it. It reads ISO 8601 with or without a
// zone (none means UTC) and with any number of decimals, and Unix seconds as a
// number. Absent, null and unreadable times are the zero time: a stamp nobody
// reads is no reason to lose an answer.
type Time struct{ time.Time }

// The layouts without a zone are read as UTC. Go accepts decimals after the
// seconds of a layout that has none.
var timeLayouts = []string{
	time.RFC3339,
	"2006-01-02T15:04:05Z0700",
	"2006-01-02T15:04:05Z07",
	"2006-01-02T15:04:05",
	"2006-01-02",
}

// UnmarshalJSON never fails on a JSON value.
func (t *Time) UnmarshalJSON(data []byte) error {
	t.Time = time.Time{}
	if len(data) > 0 && data[0] != '"' {
		t.Time = unixTime(string(data))
		return nil
	}
	var s string
	if err := json.Unmarshal(data, &s); err != nil {
		return err
	}
	if len(s) > 10 && s[10] == ' ' {
		s = s[:10] + "T" + s[11:]
	}
	s = strings.ReplaceAll(strings.ToUpper(s), " ", "")
	for _, layout := range timeLayouts {
		if parsed, err := time.Parse(layout, s); err == nil {
			t.Time = parsed
			return nil
		}
	}
	return nil
}

// MarshalJSON writes RFC 3339, in UTC where the zone is one that RFC 3339 does
// not have. The zero time, and what is beyond its years, is null.
func (t Time) MarshalJSON() ([]byte, error) {
	for _, form := range []time.Time{t.Time, t.UTC()} {
		if text, err := form.MarshalJSON(); err == nil && !t.IsZero() {
			return text, nil
		}
	}
	return []byte("null"), nil
}

func unixTime(number string) time.Time {
	seconds, err := strconv.ParseFloat(number, 64)
	const year10000 = 253402300800
	if err != nil || math.Abs(seconds) >= year10000 { // no seconds, surely
		return time.Time{}
	}
	whole, part := math.Modf(seconds)
	// A float64 of today's seconds is good to a microsecond at best.
	return time.Unix(int64(whole), int64(math.Round(part*1e6))*1000).UTC()
}
