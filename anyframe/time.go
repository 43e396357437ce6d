package anyframe

import (
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// Time is a time in the API's formats. It accepts ISO 8601, in the extended form
// (2025-01-02T03:04:05Z) and the basic form (20250102T030405Z), with or without a
// zone (none means UTC), with any number of decimals, and a date alone. It also
// accepts Unix time as a number, in seconds or, if seconds would be beyond the year
// 9999, in milliseconds. Null and an empty string are the zero time. Anything else
// is an error. In an API response such a time counts as absent, because an invalid
// timestamp must not make the response unusable.
type Time struct{ time.Time }

// timeLayouts are tried in order. Those without a zone are UTC. Go accepts decimals
// after the seconds of a layout that has none.
var timeLayouts = func() (all []string) {
	for _, form := range []struct{ date, clock, minutes string }{
		{"2006-01-02", "15:04:05", "15:04"}, {"20060102", "150405", "1504"},
	} {
		for _, clock := range []string{form.clock, form.minutes} {
			for _, zone := range []string{"Z07:00", "Z0700", "Z07", ""} {
				all = append(all, form.date+"T"+clock+zone)
			}
		}
		all = append(all, form.date)
	}
	return all
}()

// UnmarshalJSON accepts the formats described at the type.
func (t *Time) UnmarshalJSON(data []byte) error {
	t.Time = time.Time{}
	var s string
	switch {
	case string(data) == "null":
		return nil
	case len(data) > 0 && data[0] != '"':
		var ok bool
		if t.Time, ok = unixTime(string(data)); !ok {
			return fmt.Errorf("anyframe: %.40q is no time", data)
		}
		return nil
	}
	if err := json.Unmarshal(data, &s); err != nil {
		return err
	}
	if s == "" {
		return nil
	}
	parsed, err := parseTime(s)
	if err != nil {
		return err
	}
	t.Time = parsed
	return nil
}

func parseTime(s string) (time.Time, error) {
	text := strings.ToUpper(strings.TrimSpace(s))
	for _, date := range []int{len("2006-01-02"), len("20060102")} {
		if len(text) > date && text[date] == ' ' {
			text = text[:date] + "T" + text[date+1:]
			break
		}
	}
	text = strings.Replace(text, " ", "", 1) // before a zone
	for _, layout := range timeLayouts {
		if parsed, err := time.Parse(layout, text); err == nil {
			return parsed, nil
		}
	}
	return time.Time{}, fmt.Errorf("anyframe: %.40q is no time of ISO 8601", s)
}

// MarshalJSON writes RFC 3339, in UTC if RFC 3339 does not allow the zone. The zero
// time, and a year outside its range, is null.
func (t Time) MarshalJSON() ([]byte, error) {
	for _, form := range []time.Time{t.Time, t.UTC()} {
		if text, err := form.MarshalJSON(); err == nil && !t.IsZero() {
			return text, nil
		}
	}
	return []byte("null"), nil
}

func unixTime(number string) (_ time.Time, ok bool) {
	seconds, err := strconv.ParseFloat(number, 64)
	const year10000 = 253402300800
	if math.Abs(seconds) >= year10000 {
		seconds /= 1000
	}
	if err != nil || math.Abs(seconds) >= year10000 {
		return time.Time{}, false
	}
	whole, part := math.Modf(seconds)
	// A float64 of current seconds is exact to a microsecond at best.
	return time.Unix(int64(whole), int64(math.Round(part*1e6))*1000).UTC(), true
}
